"""The objective of a noise-aware classifier, for guidance."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Network
from restore.denoisers.parameterization import Problem
from restore.diffusion.parameterization import noised
from restore.errors import ConfigError
from restore.schema import Spec
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.simple import draw_eps

__all__ = ["Classification"]


class Classification(Spec):
    """The cross-entropy of the degradation label of a noised degraded picture (Dhariwal & Nichol 2021, section 4.1).

    `clean` is one of the labels: guided by it, pictures lose what the classifier takes for a degradation.
    """

    kind: Literal["classification"] = "classification"
    levels: LevelSampling = Uniform()

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch in nats; the picture that is noised is the condition's.

        Raises:
            ConfigError: the pictures have no labels.
        """
        if condition.label is None:
            raise ConfigError("a classifier is trained on labels, and these pictures have none")
        level, correction = self.levels.draw(len(x0), problem.schedule, generator, problem.history)
        picture = condition.image[:, : x0.shape[1]]
        x_t = noised(picture, draw_eps(picture, generator), level.alpha_bar)
        logits = network(x_t, problem.value(level), condition)
        loss = F.cross_entropy(logits.float(), condition.label, reduction="none")
        self.levels.learn(level, loss, problem.schedule, problem.history)
        return (loss if correction is None else loss * correction).mean()
