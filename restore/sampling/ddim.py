"""DDIM, which is DDPM's ancestral sampler at eta = 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.schedule import Schedule
from restore.sampling.noise import Noise
from restore.sampling.step import Sampler, Step, answer

__all__ = ["DDIM", "ddim_update"]


def ddim_update(
    x_t: Tensor, x0: Tensor, alpha_bar_t: float, alpha_bar_u: float, eta: float = 0.0, noise: Noise | None = None
) -> Tensor:
    """Return x_u, (B, C, H, W), from x_t and its estimate x0 (DDIM, eq. 12), in either direction for eta = 0.

    The noise in x_t that the equation goes on with is the one that follows from x0, clipped or not.

    Args:
        x_t: (B, C, H, W).
        x0: (B, C, H, W).
        alpha_bar_t: of the level that is left; below 1.
        alpha_bar_u: of the level that is reached.
        eta: 0 is deterministic, 1 has DDPM's variance beta-tilde.
        noise: where fresh noise is drawn from; needed where eta > 0.
    """
    # eq. 16: the share of the step's variance that is fresh noise
    sigma = eta * ((1 - alpha_bar_u) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_u)) ** 0.5 if eta else 0.0
    kept = (max(1 - alpha_bar_u - sigma**2, 0.0) / (1 - alpha_bar_t)) ** 0.5
    x_u = (x_t * kept).add_(x0, alpha=alpha_bar_u**0.5 - kept * alpha_bar_t**0.5)
    if sigma > 0:
        assert noise is not None
        x_u.add_(noise.draw(x_u), alpha=sigma)
    return x_u


class DDIM(Sampler):
    """Denoising diffusion implicit models, eq. 12; `eta` = 0 is deterministic, `eta` = 1 is DDPM with beta-tilde."""

    kind: Literal["ddim"] = "ddim"
    steps: int | None = Field(1, ge=1)
    eta: float = Field(0.0, ge=0, le=1)

    def __call__(self, denoiser: Denoiser, condition: Condition, schedule: Schedule, noise: Noise) -> Iterator[Step]:
        """Yield a `Step` after each step down to the clean picture; the picture has the size of `condition.image`."""
        levels = self.levels(schedule)
        x_t = self.begin(condition, schedule, noise)
        for t, u in zip(levels[:-1], levels[1:], strict=True):
            x0 = answer(denoiser(x_t, schedule.level(t, len(x_t), x_t.device), condition))
            if u == 0:
                yield Step(0, x0, x0)
                return
            x_t = ddim_update(x_t, x0, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[u]), self.eta, noise)
            yield Step(u, x_t, x0)
            del x0  # not held while the network runs
