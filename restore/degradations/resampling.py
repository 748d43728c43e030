"""Bicubic resampling as MATLAB's `imresize` does it, the operator of the super-resolution benchmarks."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from restore.errors import ArrayError

__all__ = ["Kernel", "resize", "taps"]

Kernel = Literal["bicubic", "bilinear"]


class Taps(NamedTuple):
    """A sparse resampling matrix: each output sample is a weighted sum of a few input samples.

    Attributes:
        index: (K, out) int64, which inputs; the image is continued by reflection, its edge repeated.
        weight: (K, out) float32; each column sums to one.
    """

    index: Tensor
    weight: Tensor


def cubic(x: Tensor) -> Tensor:
    """Return the kernel of cubic convolution with a = -1/2 (Keys 1981, eq. 15)."""
    r = x.abs()
    inner = (1.5 * r - 2.5) * r * r + 1
    outer = ((-0.5 * r + 2.5) * r - 4) * r + 2
    return torch.where(r <= 1, inner, torch.where(r <= 2, outer, 0.0))


def triangle(x: Tensor) -> Tensor:
    """Return the kernel of linear interpolation."""
    return (1 - x.abs()).clamp(min=0)


DENSE = 2**18  # entries up to which a matrix product is faster than gathering a few samples for each

KERNELS = {"bicubic": (cubic, 4.0), "bilinear": (triangle, 2.0)}


@lru_cache(maxsize=64)
def taps(length: int, out: int, scale: float, kernel: Kernel = "bicubic", antialias: bool = True) -> Taps:
    """Return how `length` samples become `out`, each input sample being `scale` output samples wide.

    The first sample's outer edge stays where it is: output i lies at (i + 1/2) / scale - 1/2 of the input. Where the
    image shrinks and `antialias` is on, the kernel is widened by 1 / scale.
    """
    function, width = KERNELS[kernel]
    stretch = min(scale, 1.0) if antialias else 1.0
    width /= stretch
    place = (torch.arange(out, dtype=torch.float64) + 0.5) / scale - 0.5
    first = (place - width / 2).ceil()
    index = first + torch.arange(math.ceil(width) + 1, dtype=torch.float64)[:, None]
    weight = function((place - index) * stretch)
    weight /= weight.sum(0)
    # a wave of period 2 length visits the edge twice: 1 0 | 0 1 2 ... n-1 | n-1 n-2
    wave = index.long() % (2 * length)
    index = torch.minimum(wave, 2 * length - 1 - wave)
    used = (weight != 0).any(1)
    return Taps(index[used], weight[used].float())


@lru_cache(maxsize=64)
def matrix(
    length: int,
    out: int,
    scale: float,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return (out, length): `taps` as a dense matrix, kept where it is used."""
    index, weight = taps(length, out, scale, kernel, antialias)
    return torch.zeros(length, out).scatter_add_(0, index, weight).T.contiguous().to(device, dtype)


def resample(image: Tensor, dim: int, scale: float, out: int, kernel: Kernel, antialias: bool) -> Tensor:
    """Return (..., H, W) resampled to `out` samples along `dim`, -2 or -1."""
    length = image.shape[dim]
    if length * out <= DENSE:
        dense = matrix(length, out, scale, kernel, antialias, image.dtype, image.device)
        return dense @ image if dim == -2 else image @ dense.T
    if dim == -1:
        turned = image.transpose(-2, -1).contiguous()
        return resample(turned, -2, scale, out, kernel, antialias).transpose(-2, -1)
    sparse, total = taps(length, out, scale, kernel, antialias), None
    for index, weight in zip(sparse.index.to(image.device), sparse.weight.to(image), strict=True):
        part = image.index_select(-2, index).mul_(weight[:, None])
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def resize(
    image: Tensor,
    size: tuple[int, int],
    scale: float | None = None,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
) -> Tensor:
    """Return (..., H, W) floats at another (height, width); values may overshoot the input's range.

    Equal to MATLAB's `imresize(image, size)`, or, with a `scale`, to `imresize(image, scale)`, which places samples by
    the exact factor, whatever the rounding of the size.

    Args:
        image: any range of values.
        size: of the result.
        scale: how many times larger the result is; by default the ratio of the sizes, for each side its own.
        kernel: what interpolates.
        antialias: widen the kernel where the image shrinks.

    Raises:
        ArrayError: a side is empty.
    """
    height, width = image.shape[-2:]
    if min(height, width, *size) < 1:
        raise ArrayError(f"an image of {width}x{height} cannot be resized to {size[1]}x{size[0]}")
    rows = scale or size[0] / height
    columns = scale or size[1] / width
    # the side that shrinks the most goes first, which is less work
    sides = [(rows, -2, height, size[0]), (columns, -1, width, size[1])]
    for factor, dim, length, out in sorted(sides, key=lambda side: side[0]):
        if factor != 1 or length != out:
            image = resample(image, dim, factor, out, kernel, antialias)
    return image.contiguous()
