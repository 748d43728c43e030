"""The objective of a noise-aware classifier, for guidance."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Level
from restore.denoisers.parameterization import Parameterization
from restore.diffusion.parameterization import noised
from restore.errors import ConfigError
from restore.models.auxiliary import ClassifierRecipe
from restore.schema import Spec
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.loss import Batch, LevelLoss, Loss, Objective, Setting

__all__ = ["Classification"]


class Classification(Objective):
    """The cross-entropy of the degradation label of a noised degraded image (Dhariwal & Nichol 2021, section 4.1).

    `clean` is one of the labels: guided by it, images lose what the classifier takes for a degradation.

    Attributes:
        levels: at which the classifier is trained.
    """

    trains: ClassVar[type[Spec]] = ClassifierRecipe
    labelled: ClassVar[bool] = True

    kind: Literal["classification"] = "classification"
    levels: LevelSampling = Uniform()

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run, in nats; the image that is noised is the condition's."""
        return _ClassificationLoss(setting, self.levels)


class _ClassificationLoss(LevelLoss):
    def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
        condition = batch.condition
        if condition.label is None:
            raise ConfigError("a classifier is trained on labels, and these images have none")
        image = condition.image[:, : batch.x0.shape[1]]
        x_t = noised(image, batch.eps(image), level.alpha_bar)
        logits = self.setting.network(x_t, parameterization.value(level), condition)
        return F.cross_entropy(logits.float(), condition.label, reduction="none")
