"""DDIM, which is DDPM's ancestral sampler at eta = 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.schedule import Schedule
from restore.diffusion.update import ddim_update
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step, x0_of

__all__ = ["DDIM"]


class DDIM(Sampler):
    """Denoising diffusion implicit models, eq. 12; `eta` = 0 is deterministic, `eta` = 1 is DDPM with beta-tilde.

    Attributes:
        eta: how much of each step's noise is drawn anew: 0 is deterministic, 1 is DDPM.
    """

    kind: Literal["ddim"] = "ddim"
    steps: int | None = Field(1, ge=1, le=100_000)
    eta: float = Field(0.0, ge=0, le=1)

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
            x_t = ddim_update(x_t, x0, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[u]), self.eta, noise.draw)
            yield Step(u, x_t, x0)
            del x0  # not held while the network runs
