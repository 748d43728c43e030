"""The objective of a detector, which looks at pictures as they are."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from restore.contracts import Condition, Network
from restore.denoisers.parameterization import Problem
from restore.errors import ConfigError
from restore.schema import Spec

__all__ = ["Recognition"]


class Recognition(Spec):
    """The cross-entropy of the degradation label of a picture, without noise.

    Attributes:
        smoothing: the share of the truth that is spread over all labels (Szegedy et al. 2016, section 7): synthetic
            weather is told with more certainty than a photograph deserves.
        reduce: lowest and highest factor for the sides of all pictures of a step, one drawn log-uniform for each step,
            after their weather. A detector looks at large photographs reduced: streaks are finer there than they were.
    """

    kind: Literal["recognition"] = "recognition"
    smoothing: float = Field(0.05, ge=0, lt=1)
    reduce: tuple[float, float] = (1.0, 1.0)

    @field_validator("reduce")
    @classmethod
    def _reduces(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError("two factors in ascending order, above 0 and at most 1")
        return value

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch in nats.

        Raises:
            ConfigError: the pictures have no labels.
        """
        if condition.label is None:
            raise ConfigError("a detector is trained on labels, and these pictures have none")
        logits = network(self._reduced(condition.image, generator))  # type: ignore[call-arg]  # no level
        return F.cross_entropy(logits.float(), condition.label, label_smoothing=self.smoothing)

    def _reduced(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return (B, C, h, w) of (B, C, H, W): every pixel the mean of those that it stands for, as a detector does."""
        low, high = self.reduce
        if low == high == 1:
            return pictures
        factor = low * (high / low) ** torch.rand((), generator=generator, device=generator.device).item()
        size = [max(1, round(side * factor)) for side in pictures.shape[-2:]]
        return F.interpolate(pictures, size, mode="area")
