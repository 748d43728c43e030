"""Windows: how much each pixel of a tile counts, and their normalisation over a grid."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from restore.errors import ConfigError

__all__ = ["WindowShape", "axis_weights", "window"]

WindowShape = Literal["uniform", "hann", "gaussian"]


def window(kind: WindowShape, size: int) -> Tensor:
    """Return the (size,) float64 window, positive everywhere."""
    centre = torch.arange(size, dtype=torch.float64) + 0.5
    if kind == "uniform":
        return torch.ones(size, dtype=torch.float64)
    if kind == "hann":
        return torch.sin(math.pi * centre / size) ** 2
    if kind == "gaussian":
        return torch.exp(-0.5 * ((centre - size / 2) / (size / 6)) ** 2)
    raise ConfigError(f"unknown window {kind!r}; choose uniform, hann or gaussian")


def axis_weights(starts: list[int], tile: int, length: int, kind: WindowShape) -> list[Tensor]:
    """Return one (tile,) float32 weight per start; they sum to one at each of the `length` pixels they cover.

    Windows are products of two axes and so are grids, therefore so is the normalisation: no image-sized buffer.
    """
    shape = window(kind, tile)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += shape
    return [(shape / total[start : start + tile]).float() for start in starts]
