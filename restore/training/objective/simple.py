"""L_simple: the error of what the network predicts."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.parameterization import Problem
from restore.schema import Spec
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.weighting import Constant, Weighting

__all__ = ["Norm", "Simple", "distance", "draw_eps"]

Norm = Literal["l1", "mse", "rmse", "log_mse"]

NEGLIGIBLE = 1e-4  # a squared error of 46 dB PSNR: below it there is nothing left to gain


def draw_eps(x0: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal noise in the shape and type of x0, drawn on the generator's device."""
    return torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype)


def distance(output: Tensor, target: Tensor, norm: Norm) -> Tensor:
    """Return the (B,) error of each picture: mean absolute, mean squared, or the root or logarithm of the latter.

    A mean of squares is ruled by the worst pictures. The gradient of the root is of one size for all of them. The
    logarithm is PSNR but for a factor: it is ruled by the pictures that are nearly perfect already, and belongs, if
    anywhere, at the end of a training.
    """
    loss = F.l1_loss if norm == "l1" else F.mse_loss
    error = loss(output, target, reduction="none").flatten(1).mean(1)
    if norm == "rmse":
        return (error + NEGLIGIBLE).sqrt()
    return (error + NEGLIGIBLE).log() if norm == "log_mse" else error


class Simple(Spec):
    """L_simple (DDPM, eq. 14) on whatever the network predicts; `l1` as in Palette and SR3, `mse`, `rmse`, `log_mse`.

    Attributes:
        norm: of the error.
        levels: where it is trained.
        weighting: how much each level counts; of `l1` and `rmse`, the root of the weight.
    """

    kind: Literal["simple"] = "simple"
    norm: Norm = "mse"
    levels: LevelSampling = Uniform()
    weighting: Weighting = Constant()

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch; x0 is (B, 3, H, W) in [-1, 1], noise and levels from `generator`."""
        level, correction = self.levels.draw(len(x0), problem.schedule, generator, problem.history)
        answer = problem.ask(network, x0, condition, level, draw_eps(x0, generator))
        loss = distance(answer.output, answer.target, self.norm) * self.weight(problem, level)
        self.levels.learn(level, loss, problem.schedule, problem.history)
        return (loss if correction is None else loss * correction).mean()

    def weight(self, problem: Problem, level: Level) -> Tensor | float:
        """Return the (B,) weights of each picture's error."""
        weight = self.weighting(problem, level)
        if weight is None:
            return 1.0
        return weight.sqrt() if self.norm in {"l1", "rmse"} else weight
