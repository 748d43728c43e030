"""Annealed Langevin dynamics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.schedule import Schedule
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step, x0_of

__all__ = ["Langevin", "langevin_update"]


def langevin_update(x_t: Tensor, x0: Tensor, alpha_bar: float, size: float, noise: Noise) -> Tensor:
    """Return x_t, (B, C, H, W), after one step of Langevin dynamics at its level (Song & Ermon 2019, eq. 4).

    The score is -eps / sqrt(1 - alpha_bar) = (sqrt(alpha_bar) x0 - x_t) / (1 - alpha_bar); the step's size is `size`
    times the noise's variance 1 - alpha_bar, so that it shrinks with the level (algorithm 1, line 4).
    """
    moved = (x_t * (1 - size / 2)).add_(x0, alpha=size / 2 * alpha_bar**0.5)
    return moved.add_(noise.draw(x_t), alpha=(size * (1 - alpha_bar)) ** 0.5)


class Langevin(Sampler):
    """Noise conditional score networks, algorithm 1, with the score of a diffusion network.

    Attributes:
        repeats: Langevin steps at each level.
        size: of a step, as a share of the level's noise variance. The stationary variance of Gaussian data is too
            large by a share of at most size / 4.
    """

    kind: Literal["langevin"] = "langevin"
    steps: int | None = Field(50, ge=1, le=100_000)
    repeats: int = Field(5, ge=1, le=1000)
    size: float = Field(0.2, gt=0, lt=2)

    def evaluations(self, schedule: Schedule) -> int:
        """Return the number of evaluations of the denoiser: one at each step, and one to remove the last noise."""
        return super().evaluations(schedule) * self.repeats + 1

    def solve(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        x_t: Tensor,
        levels: Sequence[int],
        noise: Noise,
    ) -> Iterator[Step]:
        """Yield a `Step` after each Langevin step, and the last estimate of x0 (Jolicoeur-Martineau et al. 2021)."""
        for t in levels[:-1]:
            level, alpha_bar = schedule.level(t, len(x_t), x_t.device), float(schedule.alpha_bar[t])
            for _ in range(self.repeats):
                x0 = x0_of(denoiser(x_t, level, condition))
                x_t = langevin_update(x_t, x0, alpha_bar, self.size, noise)
                yield Step(t, x_t, x0)
                del x0  # not held while the network runs
        x0 = x0_of(denoiser(x_t, schedule.level(levels[-2], len(x_t), x_t.device), condition))
        yield Step(0, x0, x0)
