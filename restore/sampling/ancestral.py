"""DDPM's ancestral sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate
from restore.diffusion.schedule import Schedule, Transitions
from restore.diffusion.variance import Variance, log_variance
from restore.sampling.noise import Noise
from restore.sampling.step import Sampler, Step

__all__ = ["Ancestral", "ancestral_mean"]


def ancestral_mean(estimate: Estimate, x_t: Tensor, step: Transitions, variance: Variance) -> Tensor:
    """Return the mean of p(x_u | x_t), (B, C, H, W) (DDPM, eq. 7), for a single step.

    Guidance by the mean shifts it by the variance times the gradient (Dhariwal & Nichol 2021, algorithm 1).
    """
    mean = (x_t * float(step.mean_xt)).add_(estimate.x0, alpha=float(step.mean_x0))
    if estimate.gradient is not None:
        last = variance == "beta_tilde" and float(step.beta_tilde) == 0
        if not last:
            scale = log_variance(step, variance, estimate.fraction)
            mean.add_(estimate.gradient * (scale.exp() if isinstance(scale, Tensor) else torch.tensor(scale).exp()))
    return mean


class Ancestral(Sampler):
    """Denoising diffusion probabilistic models, algorithm 2.

    Attributes:
        variance: of each step: `beta` and `beta_tilde` are the two bounds (DDPM, section 3.2), `learned` what the
            network says lies between them (improved DDPM, eq. 15).
    """

    kind: Literal["ancestral"] = "ancestral"
    variance: Variance = "beta_tilde"

    def __call__(self, denoiser: Denoiser, condition: Condition, schedule: Schedule, noise: Noise) -> Iterator[Step]:
        """Yield a `Step` after each step down to the clean picture; the picture has the size of `condition.image`.

        Raises:
            ConfigError: the variance is to be the learned one, but the denoiser has none.
        """
        levels = self.levels(schedule)
        x_t = self.begin(condition, schedule, noise)
        for i, (t, u) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
            estimate = denoiser(x_t, schedule.level(t, len(x_t), x_t.device), condition)
            step = schedule.transitions(levels).at(i)
            x_t = ancestral_mean(estimate, x_t, step, self.variance)
            if u > 0:
                x_t.add_(noise.draw(x_t).mul_(deviation(step, self.variance, estimate)))
            yield Step(u, x_t, estimate.x0)
            del estimate


