"""The step of DDIM, which samplers and few-step training share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["ddim_update"]


def ddim_update(
    x_t: Tensor,
    x0: Tensor,
    alpha_bar_t: float,
    alpha_bar_u: float,
    eta: float = 0.0,
    draw: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return x_u, (B, C, H, W), from x_t and its estimate x0 (DDIM, eq. 12), in either direction for eta = 0.

    The noise in x_t that the equation goes on with is the one that follows from x0, clipped or not.

    Args:
        x_t: (B, C, H, W).
        x0: (B, C, H, W).
        alpha_bar_t: of the level that is left; below 1.
        alpha_bar_u: of the level that is reached.
        eta: 0 is deterministic, 1 has DDPM's variance beta-tilde.
        draw: gives fresh noise like a tensor; needed where eta > 0.
    """
    # eq. 16: the share of the step's variance that is fresh noise
    sigma = eta * ((1 - alpha_bar_u) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_u)) ** 0.5 if eta else 0.0
    kept = (max(1 - alpha_bar_u - sigma**2, 0.0) / (1 - alpha_bar_t)) ** 0.5
    x_u = (x_t * kept).add_(x0, alpha=alpha_bar_u**0.5 - kept * alpha_bar_t**0.5)
    if draw is not None and sigma > 0:
        x_u.add_(draw(x_u), alpha=sigma)
    return x_u
