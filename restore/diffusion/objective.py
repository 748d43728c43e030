"""Objectives: what a network is trained to minimise, and at which noise levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.diffusion.denoiser import LevelInput, level_value
from restore.diffusion.parameterization import Prediction, noised, prediction_target
from restore.diffusion.schedule import Schedule
from restore.schema import Spec

__all__ = ["AtTheEnd", "LevelSampling", "Problem", "Simple", "Uniform"]


@dataclass(frozen=True)
class Problem:
    """What a network is asked: its schedule, what it predicts, and the scale in which it knows the level."""

    schedule: Schedule
    prediction: Prediction
    level_input: LevelInput


class Uniform(Spec):
    """Every level from 1 to T equally often (DDPM, algorithm 1)."""

    kind: Literal["uniform"] = "uniform"

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device."""
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator, device=generator.device)
        return schedule.level(t, device=t.device)


class AtTheEnd(Spec):
    """A share of the batch at level T, the rest uniform.

    At T nothing of the picture is left in x_t, so the network learns the conditional mean (or median) of x0: the best
    one-step answer. The other levels teach it to sharpen that answer in further steps.
    """

    kind: Literal["at_the_end"] = "at_the_end"
    share: float = Field(0.5, ge=0, le=1)

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device."""
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator, device=generator.device)
        end = torch.rand(batch, generator=generator, device=generator.device) < self.share
        t = torch.where(end, schedule.T, t)
        return schedule.level(t, device=t.device)


LevelSampling = Annotated[Uniform | AtTheEnd, Field(discriminator="kind")]


class Simple(Spec):
    """L_simple (DDPM, eq. 14) on whatever the network predicts; `l1` as in Palette and SR3, or `mse`."""

    kind: Literal["simple"] = "simple"
    norm: Literal["l1", "mse"] = "mse"
    levels: LevelSampling = Uniform()

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch; x0 is (B, 3, H, W) in [-1, 1], noise and levels from `generator`."""
        level = self.levels(len(x0), problem.schedule, generator)
        eps = torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype)
        x_t = noised(x0, eps, level.alpha_bar)
        target = prediction_target(x0, eps, level.alpha_bar, problem.prediction, condition.image)
        output = network(x_t, level_value(level, problem.level_input), condition)
        return F.l1_loss(output, target) if self.norm == "l1" else F.mse_loss(output, target)
