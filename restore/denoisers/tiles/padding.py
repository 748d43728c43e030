"""Images beyond their borders: mirrored as often as it takes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reflect_crop", "reflect_index"]


def reflect_index(length: int, stop: int, start: int = 0) -> Tensor:
    """Return the indices into `length` pixels that pixels start..stop mirror, (stop - start,) int64.

    >>> reflect_index(3, 8).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    if length == 1:
        return torch.zeros(stop - start, dtype=torch.int64)
    period = 2 * (length - 1)
    phase = torch.arange(start, stop) % period
    return torch.minimum(phase, period - phase)


def reflect_crop(image: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return a part of an image, (..., h, w) of (..., H, W), that may reach over its lower and right border.

    What lies beyond is mirrored. Only the part is copied, and nothing at all where it lies inside.
    """
    height, width = image.shape[-2:]
    if rows.stop <= height:
        image = image[..., rows, :]
    else:
        image = image.index_select(-2, reflect_index(height, rows.stop, rows.start).to(image.device, non_blocking=True))
    if columns.stop <= width:
        return image[..., columns]
    return image.index_select(-1, reflect_index(width, columns.stop, columns.start).to(image.device, non_blocking=True))
