"""Multistep consistency sampling, for models distilled to jump to the clean image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.schedule import Schedule
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step, x0_of

__all__ = ["Consistency"]


class Consistency(Sampler):
    """Jump to x0, give it fresh noise of the next level, jump again (Song et al. 2023, algorithm 1)."""

    kind: Literal["consistency"] = "consistency"
    steps: int | None = Field(2, ge=1, le=100_000)

    def solve(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        x_t: Tensor,
        levels: Sequence[int],
        noise: Noise,
    ) -> Iterator[Step]:
        """Yield a `Step` after each step from x_t through the levels; see `Sampler`."""
        for t, u in pairwise(levels):
            x0 = x0_of(denoiser(x_t, schedule.level(t, len(x_t), x_t.device), condition))
            if u == 0:
                yield Step(0, x0, x0)
                return
            alpha_bar = float(schedule.alpha_bar[u])
            x_t = (x0 * alpha_bar**0.5).add_(noise.draw(x0), alpha=(1 - alpha_bar) ** 0.5)
            yield Step(u, x_t, x0)
            del x0  # not held while the network runs
