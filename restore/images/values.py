"""Numbers: integers or floats of a file to [-1, 1] and back, plane by plane so that little memory is needed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor
from torch.nn import functional

from restore.errors import ArrayError

__all__ = ["alpha_as", "rec601", "resize_alpha", "to_array", "to_pixels", "to_unit"]

REC_601 = (0.299, 0.587, 0.114)


def full_scale(dtype: DTypeLike) -> float:
    """Return the value that means white: the largest integer of the type, or 1 for floats."""
    kind = np.dtype(dtype)
    return float(np.iinfo(kind).max) if kind.kind == "u" else 1.0


def to_pixels(array: NDArray, white: float | None = None) -> Tensor:
    """Return (3, H, W) float32 in [-1, 1] from (H, W) or (H, W, 3) values in 0..white.

    Args:
        array: any strides and byte order; gray becomes three equal channels.
        white: the value that means white; by default the largest of an unsigned type, 1 for floats.
    """
    scale = 2.0 / (full_scale(array.dtype) if white is None else white)
    # torch knows neither negative strides nor foreign byte order.
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if not native.flags.writeable:
        native = native.copy()
    tensor = torch.from_numpy(native)
    if tensor.ndim == 2:
        plane = tensor.to(torch.float32, copy=True).mul_(scale).sub_(1.0)
        return plane.expand(3, -1, -1).contiguous()
    pixels = torch.empty(3, *tensor.shape[:2])
    pixels.copy_(tensor.permute(2, 0, 1))
    return pixels.mul_(scale).sub_(1.0)


def rec601(pixels: Tensor) -> Tensor:
    """Return the Rec. 601 luma (...) of (3, ...) colours, in the colours' own range."""
    red, green, blue = REC_601
    return (pixels[0] * red).add_(pixels[1], alpha=green).add_(pixels[2], alpha=blue)


def to_array(
    pixels: Tensor,
    *,
    gray: bool,
    dtype: DTypeLike,
    alpha: NDArray | None = None,
    white: float = 1.0,
    flatten: NDArray | None = None,
) -> NDArray:
    """Return (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) values of (3, H, W) pixels in [-1, 1], rounded to nearest.

    Args:
        pixels: colours; values beyond [-1, 1] are clipped.
        gray: one channel of luma in place of three colours.
        dtype: an unsigned integer type (0..largest) or a float type (0..white).
        alpha: appended as the last channel, in the same type.
        white: the value that means white for floats.
        flatten: an alpha with which the colours are laid over white.

    Raises:
        ArrayError: the pixels hold NaN or infinity.
    """
    integer = np.dtype(dtype).kind == "u"
    scale = full_scale(dtype) if integer else white
    veil = None if flatten is None else torch.from_numpy(alpha_as(flatten, np.float32)).to(pixels.device)
    channels = (1 if gray else 3) + (alpha is not None)
    out = np.empty((*pixels.shape[-2:], channels), dtype)
    for index in range(1 if gray else 3):
        plane = rec601(pixels) if gray else pixels[index].to(torch.float32, copy=True)
        if not all(map(torch.isfinite, plane.aminmax())):
            raise ArrayError("the pixels to write hold NaN or infinity")
        if veil is not None:
            plane.sub_(1.0).mul_(veil).add_(1.0)
        plane.add_(1.0).mul_(scale / 2.0).clamp_(0.0, scale)
        out[..., index] = (plane.round_() if integer else plane).cpu().numpy()
    if alpha is not None:
        out[..., -1] = alpha_as(alpha, dtype)
    return out[..., 0] if channels == 1 else out


def to_unit(pixels: Tensor, *, gray: bool) -> Tensor:
    """Return (3, H, W), or (1, H, W) for gray, float32 in [0, 1] on the device of the pixels in [-1, 1]."""
    colours = rec601(pixels)[None] if gray else pixels.to(torch.float32, copy=True)
    return colours.add_(1.0).div_(2.0).clamp_(0.0, 1.0)


def alpha_as(alpha: NDArray, dtype: DTypeLike) -> NDArray:
    """Return an alpha channel in another type, from full scale to full scale, rounded."""
    if alpha.dtype == np.dtype(dtype):
        return alpha
    scaled = alpha.astype(np.float32)
    scaled *= full_scale(dtype) / full_scale(alpha.dtype)
    return (np.rint(scaled, out=scaled) if np.dtype(dtype).kind == "u" else scaled).astype(dtype)


def resize_alpha(alpha: NDArray, size: tuple[int, int]) -> NDArray:
    """Return an alpha channel (H, W) at another (height, width), bilinear, in the same type."""
    plane = torch.from_numpy(alpha_as(alpha, np.float32).copy())[None, None]
    resized = functional.interpolate(plane, size, mode="bilinear", align_corners=False, antialias=True)
    return alpha_as(resized[0, 0].clamp_(0.0, 1.0).numpy(), alpha.dtype)
