"""What a network predicts, and the exact conversions between it and the clean image.

With `a = sqrt(alpha_bar)` and `s = sqrt(1 - alpha_bar)`, a noised image is `x_t = a x0 + s eps` (DDPM, eq. 4).

================  ==========================================  ==============================
prediction        the network's output                        x0
================  ==========================================  ==============================
`eps`             the noise (DDPM, eq. 14)                    (x_t - s output) / a
`x0`              the clean image                             output
`v`               a eps - s x0 (progressive distillation, D)  a x_t - s output
`residual`        x0 - condition                              condition + output
`posterior_mean`  the mean of q(x_{t-1} | x_t, x0)            (output - c_t x_t) / c_0
================  ==========================================  ==============================

The posterior mean is `c_0 x0 + c_t x_t` (DDPM, eq. 7); it needs `alpha_bar_prev`, that of the level below.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from restore.errors import ConfigError

__all__ = [
    "PredictionKind",
    "coefficients",
    "mean_coefficients",
    "noised",
    "prediction_target",
    "to_eps",
    "to_x0",
]

PredictionKind = Literal["eps", "x0", "v", "residual", "posterior_mean"]
CHOICES = "eps, x0, v, residual or posterior_mean"


def shaped(values: Tensor, like: Tensor) -> Tensor:
    """Return (B,) values as (B, 1, 1, 1), in `like`'s type and device."""
    return values.to(like).reshape(-1, *(1,) * (like.ndim - 1))


def coefficients(alpha_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return `a = sqrt(alpha_bar)` and `s = sqrt(1 - alpha_bar)`, shaped (B, 1, 1, 1), in `like`'s type and device.

    The roots are taken in float64: 1 - alpha_bar cancels in float32 near the clean end.
    """
    alpha_bar = alpha_bar.to(torch.float64)
    return shaped(alpha_bar.sqrt(), like), shaped((1 - alpha_bar).sqrt(), like)


def mean_coefficients(alpha_bar: Tensor, alpha_bar_prev: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return `c_0` and `c_t` of the posterior mean (DDPM, eq. 7), shaped (B, 1, 1, 1), in `like`'s type and device."""
    alpha_bar, alpha_bar_prev = alpha_bar.to(torch.float64), alpha_bar_prev.to(torch.float64)
    alpha = alpha_bar / alpha_bar_prev
    c_0 = alpha_bar_prev.sqrt() * (1 - alpha) / (1 - alpha_bar)
    c_t = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return shaped(c_0, like), shaped(c_t, like)


def noised(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return x_t, (B, C, H, W): the clean image with noise at its level (DDPM, eq. 4)."""
    a, s = coefficients(alpha_bar, x0)
    return a * x0 + s * eps


def to_x0(
    output: Tensor,
    x_t: Tensor,
    alpha_bar: Tensor,
    prediction: PredictionKind,
    condition: Tensor,
    alpha_bar_prev: Tensor | None = None,
) -> Tensor:
    """Return the estimate of x0, (B, C, H, W), that a network's output stands for.

    Args:
        output: (B, C, H, W).
        x_t: (B, C, H, W).
        alpha_bar: (B,).
        prediction: what the output is.
        condition: (B, C, H, W), the degraded image, for `residual`.
        alpha_bar_prev: (B,), that of the level below, for `posterior_mean`.

    Raises:
        ConfigError: the prediction is `eps` at a level where nothing of the image is left (alpha_bar = 0).
    """
    if prediction == "x0":
        return output
    if prediction == "residual":
        return condition[:, : output.shape[1]] + output
    if prediction == "posterior_mean":
        c_0, c_t = mean_coefficients(alpha_bar, known(alpha_bar_prev), x_t)
        return (output - c_t * x_t) / c_0
    a, s = coefficients(alpha_bar, x_t)
    if prediction == "v":
        return a * x_t - s * output
    if prediction == "eps":
        # not checked on a GPU, where it would synchronise: there `NetworkDenoiser` has the level as a plain number
        if alpha_bar.device.type == "cpu" and bool((alpha_bar <= 0).any()):
            raise ConfigError("an eps prediction says nothing about x0 where alpha_bar is 0; use v, x0 or residual")
        return (x_t - s * output) / a
    raise ConfigError(f"unknown prediction {prediction!r}; choose {CHOICES}")


def prediction_target(
    x0: Tensor,
    eps: Tensor,
    alpha_bar: Tensor,
    prediction: PredictionKind,
    condition: Tensor,
    alpha_bar_prev: Tensor | None = None,
) -> Tensor:
    """Return the regression target of a network of this kind, (B, C, H, W); the inverse of `to_x0`."""
    if prediction == "x0":
        return x0
    if prediction == "residual":
        return x0 - condition[:, : x0.shape[1]]
    if prediction == "eps":
        return eps
    if prediction == "v":
        a, s = coefficients(alpha_bar, x0)
        return a * eps - s * x0
    if prediction == "posterior_mean":
        c_0, c_t = mean_coefficients(alpha_bar, known(alpha_bar_prev), x0)
        return c_0 * x0 + c_t * noised(x0, eps, alpha_bar)
    raise ConfigError(f"unknown prediction {prediction!r}; choose {CHOICES}")


def known(alpha_bar_prev: Tensor | None) -> Tensor:
    """Return alpha_bar_prev.

    Raises:
        ConfigError: it was not given.
    """
    if alpha_bar_prev is None:
        raise ConfigError("a posterior_mean prediction needs the schedule that it was trained with")
    return alpha_bar_prev


def to_eps(x0: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the noise that leads from x0 to x_t, (B, C, H, W); 0 at the clean end, where there is none."""
    a, s = coefficients(alpha_bar, x_t)
    return (x_t - a * x0).mul(torch.where(s > 0, 1 / s, 0))
