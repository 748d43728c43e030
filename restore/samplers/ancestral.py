"""DDPM's ancestral sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate
from restore.diffusion.schedule import Schedule, Transitions
from restore.diffusion.variance import Variance, log_variance
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step

__all__ = ["Ancestral", "ancestral_mean"]


def ancestral_mean(estimate: Estimate, x_t: Tensor, step: Transitions, variance: Variance) -> Tensor:
    """Return the mean of p(x_u | x_t), (B, C, H, W) (DDPM, eq. 7), for a single step.

    Guidance by the mean shifts it by the variance times the gradient (Dhariwal & Nichol 2021, algorithm 1).
    """
    if estimate.gradient is None and step.u == 0:
        return estimate.x0
    mean = (x_t * float(step.mean_xt)).add_(estimate.x0, alpha=float(step.mean_x0))
    if estimate.gradient is not None and not (variance == "beta_tilde" and step.u == 0):
        mean.addcmul_(estimate.gradient, beside(log_variance(step, variance, estimate.fraction).exp(), mean))
    return mean


def beside(value: Tensor, like: Tensor) -> Tensor:
    """Return a value in `like`'s type and device; a plain number is filled in there, for a copy would be waited for."""
    if value.ndim == 0 and value.device.type == "cpu":
        return torch.full((), float(value), dtype=like.dtype, device=like.device)
    return value.to(like)


class Ancestral(Sampler):
    """Denoising diffusion probabilistic models, algorithm 2.

    Attributes:
        variance: of each step: `beta` and `beta_tilde` are the two bounds (DDPM, section 3.2), `learned` what the
            network predicts lies between them (improved DDPM, eq. 15).
    """

    kind: Literal["ancestral"] = "ancestral"
    variance: Variance = "beta_tilde"

    def solve(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        x_t: Tensor,
        levels: Sequence[int],
        noise: Noise,
    ) -> Iterator[Step]:
        """Yield a `Step` after each step from x_t through the levels; see `Sampler`.

        Raises:
            ConfigError: the variance is to be the learned one, but the denoiser has none.
        """
        steps = schedule.transitions(levels)
        for i, t in enumerate(levels[:-1]):
            step, estimate = steps.at(i), denoiser(x_t, schedule.level(t, len(x_t), x_t.device), condition)
            x_t = ancestral_mean(estimate, x_t, step, self.variance)
            if levels[i + 1] > 0:
                deviation = (log_variance(step, self.variance, estimate.fraction) / 2).exp()
                x_t.addcmul_(noise.draw(x_t), beside(deviation, x_t))
            yield Step(levels[i + 1], x_t, estimate.x0)
            del estimate  # not held while the network runs
