"""The objective of a detector, which looks at pictures as they are."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Network
from restore.diffusion.objective.problem import Problem
from restore.errors import ConfigError
from restore.schema import Spec

__all__ = ["Recognition"]


class Recognition(Spec):
    """The cross-entropy of the degradation label of a picture, without noise.

    Attributes:
        smoothing: the share of the truth that is spread over all labels (Szegedy et al. 2016, section 7): synthetic
            weather is told with more certainty than a photograph deserves.
    """

    kind: Literal["recognition"] = "recognition"
    smoothing: float = Field(0.05, ge=0, lt=1)

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch in nats.

        Raises:
            ConfigError: the pictures have no labels.
        """
        if condition.label is None:
            raise ConfigError("a detector is trained on labels, and these pictures have none")
        logits = network(condition.image)  # type: ignore[call-arg]  # no level: nothing is noised
        return F.cross_entropy(logits.float(), condition.label, label_smoothing=self.smoothing)
