"""At which noise levels a network is trained."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.contracts import Level
from restore.diffusion.schedule import Schedule
from restore.errors import ConfigError
from restore.schema import Spec
from restore.training.objective.history import LossHistory

__all__ = ["Antithetic", "AtTheEnd", "Continuous", "Importance", "LevelSampling", "Uniform", "between"]


class LevelSampler(Spec):
    """`(batch, schedule, generator) -> Level`, drawn on the generator's device.

    Attributes:
        between: whether levels lie between those of the schedule.
    """

    between: ClassVar[bool] = False

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch."""
        raise NotImplementedError

    def draw(
        self, batch: int, schedule: Schedule, generator: torch.Generator, history: LossHistory
    ) -> tuple[Level, Tensor | None]:
        """Return the levels of a batch, and the (B,) weights that make their losses unbiased, None for all 1."""
        return self(batch, schedule, generator), None

    def learn(self, level: Level, loss: Tensor, schedule: Schedule, history: LossHistory) -> None:
        """Note the (B,) losses of a batch, before any weight; nothing for samplers that do not adapt."""


class Uniform(LevelSampler):
    """Every level from 1 to T equally often (DDPM, algorithm 1)."""

    kind: Literal["uniform"] = "uniform"

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device."""
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator, device=generator.device)
        return schedule.level(t, device=t.device)


class Antithetic(LevelSampler):
    """Uniform, but the second half of the batch mirrors the first: t and T + 1 - t (WeatherDiffusion's training)."""

    kind: Literal["antithetic"] = "antithetic"

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device."""
        half = (batch + 1) // 2
        t = torch.randint(1, schedule.T + 1, (half,), generator=generator, device=generator.device)
        t = torch.cat([t, schedule.T + 1 - t])[:batch]
        return schedule.level(t, device=t.device)


class AtTheEnd(LevelSampler):
    """A share of the batch at level T, the rest uniform.

    At T nothing of the image is left in x_t, so the network learns the conditional mean (or median) of x0: the best
    one-step estimate. The other levels teach it to sharpen that estimate in further steps.

    Attributes:
        share: of the batch that is at level T.
    """

    kind: Literal["at_the_end"] = "at_the_end"
    share: float = Field(0.5, ge=0, le=1)

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device."""
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator, device=generator.device)
        end = torch.rand(batch, generator=generator, device=generator.device) < self.share
        t = torch.where(end, schedule.T, t)
        return schedule.level(t, device=t.device)


Within = Literal["alpha_bar", "sqrt_alpha_bar"]


def between(schedule: Schedule, t: Tensor, u: Tensor, within: Within) -> Level:
    """Return the level that lies a share 1 - u of the way from t - 1 down to t, uniformly in alpha_bar or its root.

    Args:
        schedule: whose table is interpolated.
        t: (B,) int64 in 1..T.
        u: (B,) in [0, 1]; 0 is level t, 1 level t - 1.
        within: the scale in which the way is measured.
    """
    table = schedule.on(t.device)
    low, high = table[t], table[t - 1]
    if within == "sqrt_alpha_bar":
        low, high = low.sqrt(), high.sqrt()
    value = low + u.double() * (high - low)
    return Level(t, value**2 if within == "sqrt_alpha_bar" else value)


class Continuous(LevelSampler):
    """A step t drawn uniformly, and a level drawn uniformly within that step.

    Attributes:
        within: `alpha_bar` as in Palette, `sqrt_alpha_bar` as in SR3 (after WaveGrad, algorithm 1).
        first: the lowest step; 2 in Palette's code, so that no level is cleaner than the table's first.
        shared: all images of a batch stand in the same step, as in SR3's code.
    """

    between: ClassVar[bool] = True

    kind: Literal["continuous"] = "continuous"
    within: Within = "alpha_bar"
    first: int = Field(1, ge=1, le=100_000)
    shared: bool = False

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch, drawn on the generator's device.

        Raises:
            ConfigError: the schedule ends below the first step.
        """
        if self.first > schedule.T:
            raise ConfigError(f"levels.first must be at most {schedule.T}, the last level, not {self.first}")
        n = 1 if self.shared else batch
        t = torch.randint(self.first, schedule.T + 1, (n,), generator=generator, device=generator.device)
        u = torch.rand(batch, generator=generator, device=generator.device)
        return between(schedule, t.expand(batch), u, self.within)


class Importance(LevelSampler):
    """Levels as often as their losses are large: by the root of the second moment (improved DDPM, eq. 18).

    Attributes:
        keep: how many losses of each level are remembered; uniform until every level has as many.
        floor: the share that stays uniform.
    """

    kind: Literal["importance"] = "importance"
    keep: int = Field(10, ge=1, le=10_000)
    floor: float = Field(0.001, gt=0, le=1)

    def __call__(self, batch: int, schedule: Schedule, generator: torch.Generator) -> Level:
        """Return the levels of a batch as long as nothing is known: uniform."""
        return self.draw(batch, schedule, generator, LossHistory())[0]

    def draw(
        self, batch: int, schedule: Schedule, generator: torch.Generator, history: LossHistory
    ) -> tuple[Level, Tensor | None]:
        """Return the levels of a batch, and the (B,) weights that make their losses unbiased."""
        probability = history.weights(schedule.T, self.keep, self.floor, generator.device)
        index = torch.multinomial(probability, batch, replacement=True, generator=generator)
        level = schedule.level(index + 1, device=generator.device)
        return level, 1 / (schedule.T * probability[index]).float()

    def learn(self, level: Level, loss: Tensor, schedule: Schedule, history: LossHistory) -> None:
        """Note the (B,) losses of a batch, before any weight."""
        history.update(level.t, loss, schedule.T, self.keep)


LevelSampling = Annotated[Uniform | Antithetic | AtTheEnd | Continuous | Importance, Field(discriminator="kind")]
