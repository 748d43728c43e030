"""A network as a denoiser: levels in the scale that it expects, its prediction turned into x0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level, Network
from restore.diffusion.parameterization import PredictionKind, to_x0
from restore.diffusion.schedule import Schedule
from restore.errors import ConfigError

__all__ = ["LevelInput", "NetworkDenoiser", "level_value", "split_variance"]

LevelInput = Literal["t", "alpha_bar", "sqrt_alpha_bar", "log_snr"]

LOG_SNR_LIMIT = 20.0  # beyond this a level is clean or noise to float32; it keeps the two ends finite


def level_value(level: Level, kind: LevelInput, scale: float = 1.0) -> Tensor:
    """Return the (B,) float32 number that conditions a network on the noise level.

    `t` counts from 0 at the least noisy level, as published networks do; `log_snr` is clamped to +-20. The number is
    multiplied by `scale`.
    """
    alpha_bar = level.alpha_bar.to(torch.float64)
    if kind == "t":
        value = (level.t - 1).to(torch.float64)
    elif kind == "alpha_bar":
        value = alpha_bar
    elif kind == "sqrt_alpha_bar":
        value = alpha_bar.sqrt()
    elif kind == "log_snr":
        value = (alpha_bar.log() - (-alpha_bar).log1p()).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)
    else:
        raise ConfigError(f"unknown level input {kind!r}; choose t, alpha_bar, sqrt_alpha_bar or log_snr")
    return (value * scale).float()


def split_variance(output: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """Return the prediction and the variance's fraction of a network's output, each (B, `channels`, H, W).

    The second half of twice as many channels is in [-1, 1] and gives where between beta-tilde and beta the variance
    lies (improved DDPM, eq. 15); it comes back in [0, 1], unclamped. Without it the fraction is None.
    """
    if output.shape[1] == channels:
        return output, None
    if output.shape[1] != 2 * channels:
        raise ConfigError(f"a network for {channels} channels must output as many or twice that, not {output.shape[1]}")
    prediction, fraction = output.chunk(2, dim=1)
    return prediction, (fraction + 1) / 2


@dataclass(frozen=True)
class NetworkDenoiser:
    """A network as a denoiser: the level in its scale, its prediction turned into x0.

    Attributes:
        network: maps `(x_t, value, condition)` to a prediction, and to a variance where it learned one.
        prediction: what the network predicts.
        level_input: the scale in which the noise level is given to it.
        dtype: the network's floating-point type; estimates come back in the type of `x_t`.
        level_scale: a factor on the number that conditions it on the level.
        schedule: the one that it was trained with; `posterior_mean` needs it.
    """

    network: Network
    prediction: PredictionKind = "eps"
    level_input: LevelInput = "t"
    dtype: torch.dtype = torch.float32
    level_scale: float = 1.0
    schedule: Schedule | None = None

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate of x0; see `Denoiser`."""
        if self.prediction == "eps" and level.share == 0:
            raise ConfigError("an eps prediction says nothing about x0 where alpha_bar is 0; use v, x0 or residual")
        value = level_value(level, self.level_input, self.level_scale)
        output = self.network(x_t.to(self.dtype), value, condition.to(dtype=self.dtype))
        output, fraction = split_variance(output.to(x_t.dtype), x_t.shape[1])
        below = None
        if self.prediction == "posterior_mean" and self.schedule is not None:
            u = level.t - 1 if level.number is None else level.number - 1
            below = self.schedule.level(u, len(x_t), x_t.device).alpha_bar
        return Estimate(to_x0(output, x_t, level.alpha_bar, self.prediction, condition.image, below), fraction)
