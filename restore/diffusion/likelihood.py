"""Likelihood: the terms of the variational bound, and bits per dimension.

The bound on -log p(x0) is L_T + sum of L_{t-1} + L_0 (DDPM, eq. 5). All terms are means over the values of an image,
in bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate
from restore.diffusion.parameterization import coefficients, noised, to_eps
from restore.diffusion.schedule import Schedule, Transitions
from restore.diffusion.variance import Variance, log_variance

__all__ = [
    "Bits",
    "Term",
    "bits_per_dim",
    "discretised_log_likelihood",
    "normal_kl",
    "prior_bits",
    "terms",
    "variational_bits",
]

HALF_BIN = 1 / 255  # half of the distance between two 8-bit values in [-1, 1]
EDGE = 0.999  # beyond it a value belongs to the open outermost bin
FLOOR = 1e-12


def normal_kl(mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """Return KL(N(mean1, variance1) || N(mean2, variance2)) in nats, at each value, in the shape they broadcast to."""
    return 0.5 * (
        log_variance2
        - log_variance1
        + (log_variance1 - log_variance2).exp()
        + (mean1 - mean2) ** 2 * (-log_variance2).exp()
        - 1
    )


def _cdf(x: Tensor) -> Tensor:
    """Return the standard normal distribution function, by the tanh that published likelihoods were computed with."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def discretised_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return the log-probability in nats, in x's shape, of 8-bit values under a Gaussian (DDPM, eq. 13).

    In float64 whatever comes in: in float32 the difference of two distribution functions cancels in the tails.

    Args:
        x: the true values, in [-1, 1].
        mean: of the Gaussian.
        log_scale: logarithm of its standard deviation.
    """
    centred, inverse = x.double() - mean.double(), (-log_scale.double()).exp()
    upper, lower = _cdf(inverse * (centred + HALF_BIN)), _cdf(inverse * (centred - HALF_BIN))
    inner = (upper - lower).clamp(min=FLOOR).log()
    low, high = upper.clamp(min=FLOOR).log(), (1 - lower).clamp(min=FLOOR).log()
    return torch.where(x < -EDGE, low, torch.where(x > EDGE, high, inner)).to(x)


def per_image(values: Tensor) -> Tensor:
    """Return the (B,) mean over each image, in bits, of values in nats."""
    return values.flatten(1).mean(1) / math.log(2)


def variational_bits(estimate: Estimate, x0: Tensor, x_t: Tensor, step: Transitions, variance: Variance) -> Tensor:
    """Return L_{t-1}, or L_0 where the step leads to u = 0, in bits per dimension, (B,).

    Args:
        estimate: of the denoiser at x_t.
        x0: (B, C, H, W), the true image in [-1, 1].
        x_t: (B, C, H, W).
        step: of each image, from `Transitions.gather`.
        variance: of the reverse step.
    """
    true_mean = step.mean_x0 * x0 + step.mean_xt * x_t
    mean = step.mean_x0 * estimate.x0 + step.mean_xt * x_t
    log_var = log_variance(step, variance, estimate.fraction)
    kl = per_image(normal_kl(true_mean, step.log_beta_tilde, mean, log_var))
    # on a GPU, a check for a last step would synchronise, which costs more than the decoder's term
    if step.u.device.type == "cpu" and not bool((step.u == 0).any()):
        return kl
    decoder = per_image(-discretised_log_likelihood(x0, mean, 0.5 * log_var.expand_as(x0)))
    return torch.where(step.u == 0, decoder, kl)


def prior_bits(x0: Tensor, schedule: Schedule, start: int | None = None) -> Tensor:
    """Return L_T in bits per dimension, (B,): how far q(x_T | x0) is from noise alone."""
    level = schedule.level(schedule.T if start is None else start, len(x0), x0.device)
    a, s = coefficients(level.alpha_bar, x0)
    zero = x0.new_zeros(())
    return per_image(normal_kl(a * x0, 2 * s.log(), zero, zero))


class Term(NamedTuple):
    """The bound's term of one step.

    Attributes:
        t: the level that the step leaves.
        bits: (B,), L_{t-1} or L_0, in bits per dimension.
        x0_mse: (B,), mean squared error of the estimate of x0.
        eps_mse: (B,), that of the noise that follows from it.
    """

    t: int
    bits: Tensor
    x0_mse: Tensor
    eps_mse: Tensor


def terms(
    denoiser: Denoiser,
    x0: Tensor,
    condition: Condition,
    schedule: Schedule,
    draw: Callable[[Tensor], Tensor],
    *,
    levels: list[int] | None = None,
    variance: Variance = "beta_tilde",
) -> Iterator[Term]:
    """Yield the term of each step, from the noisiest to L_0, each estimated with one draw of the noise.

    Args:
        denoiser: with whatever clipping belongs to the model.
        x0: (B, 3, H, W), the true images in [-1, 1].
        condition: of them.
        schedule: the model's.
        draw: gives standard normal noise like a tensor; the `draw` of a `Noise`.
        levels: visited levels, decreasing, the last 0; all by default.
        variance: of the reverse steps.
    """
    levels = schedule.steps(None) if levels is None else levels
    steps = schedule.transitions(levels)
    for i, t in enumerate(levels[:-1]):
        level = schedule.level(t, len(x0), x0.device)
        eps = draw(x0)
        x_t = noised(x0, eps, level.alpha_bar)
        estimate = denoiser(x_t, level, condition)
        step = steps.gather(torch.full((len(x0),), i), x0)
        bits = variational_bits(estimate, x0, x_t, step, variance)
        x0_mse = (estimate.x0 - x0).square().flatten(1).mean(1)
        eps_mse = (to_eps(estimate.x0, x_t, level.alpha_bar) - eps).square().flatten(1).mean(1)
        yield Term(t, bits, x0_mse, eps_mse)


class Bits(NamedTuple):
    """The variational bound of each image, in bits per dimension.

    Attributes:
        total: (B,), the bound on -log2 p(x0) per value.
        prior: (B,), L_T.
        steps: (B, n), L_{t-1} from the noisiest step on; the last is L_0.
        x0_mse: (B, n), mean squared error of the estimate of x0 at each step.
        eps_mse: (B, n), that of the noise.
    """

    total: Tensor
    prior: Tensor
    steps: Tensor
    x0_mse: Tensor
    eps_mse: Tensor


@torch.no_grad()
def bits_per_dim(
    denoiser: Denoiser,
    x0: Tensor,
    condition: Condition,
    schedule: Schedule,
    draw: Callable[[Tensor], Tensor],
    *,
    levels: list[int] | None = None,
    variance: Variance = "beta_tilde",
) -> Bits:
    """Return the whole bound; the arguments are those of `terms`. Its noise is one draw a step."""
    found = list(terms(denoiser, x0, condition, schedule, draw, levels=levels, variance=variance))
    prior = prior_bits(x0, schedule, found[0].t)
    bits = torch.stack([term.bits for term in found], dim=1)
    x0_mse = torch.stack([term.x0_mse for term in found], dim=1)
    eps_mse = torch.stack([term.eps_mse for term in found], dim=1)
    return Bits(bits.sum(1) + prior, prior, bits, x0_mse, eps_mse)
