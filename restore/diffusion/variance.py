"""The variance of a reverse step: one of two bounds, or what a network learned to lie between them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from restore.diffusion.schedule import Transitions
from restore.errors import ConfigError

__all__ = ["Variance", "log_variance"]

Variance = Literal["beta", "beta_tilde", "learned"]


def log_variance(step: Transitions, kind: Variance, fraction: Tensor | None = None) -> Tensor:
    """Return the log-variance of p(x_u | x_t), shaped like the fields of `step`, or like `fraction` where learned.

    The last step, to u = 0, has the variance of the one before it: beta-tilde is 0 there, and with it the likelihood
    of 8-bit pixels is better than with beta (improved DDPM's code).

    Args:
        step: one or more steps.
        kind: `beta`, `beta_tilde` (DDPM, section 3.2) or `learned` (improved DDPM, eq. 15).
        fraction: (B, C, H, W), from the denoiser's estimate, for `learned`.

    Raises:
        ConfigError: the variance is to be the learned one, but there is none.
    """
    if kind == "beta_tilde":
        return step.log_beta_tilde
    if kind == "beta":
        return torch.where(step.beta_tilde > 0, step.log_beta, step.log_beta_tilde)
    if kind != "learned":
        raise ConfigError(f"unknown variance {kind!r}; choose beta, beta_tilde or learned")
    if fraction is None:
        raise ConfigError("this network has not learned a variance; choose variance beta or beta_tilde")
    return step.log_beta_tilde + fraction * (step.log_beta - step.log_beta_tilde)
