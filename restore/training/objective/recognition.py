"""The objective of a detector, which sees images without noise."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from restore.errors import ConfigError
from restore.models.auxiliary import DetectorRecipe
from restore.schema import Spec
from restore.training.objective.loss import Batch, Loss, Objective, Setting

__all__ = ["Recognition"]


class Recognition(Objective):
    """The cross-entropy of the degradation label of an image, without noise.

    Attributes:
        smoothing: the share of the truth that is spread over all labels (Szegedy et al. 2016, section 7): the label of
            synthetic weather is more certain than that of a photograph.
        reduce: lowest and highest factor for the sides of all images of a step, one drawn log-uniform for each step,
            after their weather. A detector sees large photographs reduced: streaks are finer there than they were.
    """

    trains: ClassVar[type[Spec]] = DetectorRecipe
    labelled: ClassVar[bool] = True

    kind: Literal["recognition"] = "recognition"
    smoothing: float = Field(0.05, ge=0, lt=1)
    reduce: tuple[float, float] = (1.0, 1.0)

    @field_validator("reduce")
    @classmethod
    def _reduces(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError("two factors in ascending order, above 0 and at most 1")
        return value

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run, in nats."""
        return _RecognitionLoss(setting, self)


class _RecognitionLoss(Loss):
    def __init__(self, setting: Setting, objective: Recognition) -> None:
        super().__init__(setting)
        self.objective = objective

    def __call__(self, batch: Batch) -> Tensor:
        if batch.condition.label is None:
            raise ConfigError("a detector is trained on labels, and these images have none")
        logits = self.setting.network(self._reduced(batch))  # type: ignore[call-arg]  # no level
        return F.cross_entropy(logits.float(), batch.condition.label, label_smoothing=self.objective.smoothing)

    def _reduced(self, batch: Batch) -> Tensor:
        """Return (B, C, h, w): every pixel the mean of those of (B, C, H, W) that it stands for, as in a detector."""
        images, (low, high) = batch.condition.image, self.objective.reduce
        if low == high == 1:
            return images
        factor = low * (high / low) ** batch.number()
        size = [max(1, round(side * factor)) for side in images.shape[-2:]]
        return F.interpolate(images, size, mode="area")
