"""L_simple: the error of what the network predicts."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Level
from restore.denoisers.parameterization import Parameterization
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.loss import Batch, LevelLoss, Loss, Objective, Setting
from restore.training.objective.weighting import Unweighted, Weighting

__all__ = ["Norm", "Simple", "distance"]

Norm = Literal["l1", "mse", "rmse", "log_mse"]

NEGLIGIBLE = 1e-4  # a squared error of 46 dB PSNR: below it there is nothing left to gain


def distance(output: Tensor, target: Tensor, norm: Norm) -> Tensor:
    """Return the (B,) error of each image: mean absolute, mean squared, or the root or logarithm of the latter.

    A mean of squares is ruled by the worst images. The gradient of the root is of one size for all of them. The
    logarithm is PSNR but for a factor: it is ruled by the images that are nearly perfect already, and belongs, if
    anywhere, at the end of a training.
    """
    loss = F.l1_loss if norm == "l1" else F.mse_loss
    error = loss(output, target, reduction="none").flatten(1).mean(1)
    if norm == "rmse":
        return (error + NEGLIGIBLE).sqrt()
    return (error + NEGLIGIBLE).log() if norm == "log_mse" else error


class Simple(Objective):
    """L_simple (DDPM, eq. 14) on whatever the network predicts; `l1` as in Palette and SR3, `mse`, `rmse`, `log_mse`.

    Attributes:
        norm: of the error.
        levels: where it is trained.
        weighting: how much each level counts; of `l1` and `rmse`, the root of the weight.
    """

    kind: Literal["simple"] = "simple"
    norm: Norm = "mse"
    levels: LevelSampling = Uniform()
    weighting: Weighting = Unweighted()

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run."""
        return _SimpleLoss(setting, self)

    def weight(self, parameterization: Parameterization, level: Level) -> Tensor | float:
        """Return the (B,) weights of each image's error."""
        weight = self.weighting(parameterization, level)
        if weight is None:
            return 1.0
        return weight.sqrt() if self.norm in {"l1", "rmse"} else weight


class _SimpleLoss(LevelLoss):
    def __init__(self, setting: Setting, objective: Simple) -> None:
        super().__init__(setting, objective.levels)
        self.objective = objective

    def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
        predicted = parameterization.predict(self.setting.network, batch.x0, batch.condition, level, batch.eps())
        error = distance(predicted.output, predicted.target, self.objective.norm)
        return error * self.objective.weight(parameterization, level)
