"""Numbers on their way from a program to a device: few transfers, and none that anything waits for."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

__all__ = ["send"]

ALIGNED = 8  # bytes: where any type of number may begin


def send(device: torch.device | str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors on `device`: those of the CPU in one transfer, which neither side waits for.

    On the CPU, and of what lies on the device already, the tensors themselves come back.
    """
    device = torch.device(device)
    if device.type == "cpu":
        return tensors
    here = [x for x in tensors if x.device.type == "cpu"]
    sizes = [x.numel() * x.element_size() for x in here]
    starts = [0, *accumulate(-(-size // ALIGNED) * ALIGNED for size in sizes)]
    # only from pinned memory does a copy go on by itself
    buffer = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    for x, start, size in zip(here, starts, sizes, strict=False):
        _part(buffer, start, size, x).copy_(x)
    moved = buffer.to(device, non_blocking=True)
    there = iter([_part(moved, start, size, x) for x, start, size in zip(here, starts, sizes, strict=False)])
    return tuple(next(there) if x.device.type == "cpu" else x for x in tensors)


def _part(buffer: Tensor, start: int, size: int, like: Tensor) -> Tensor:
    """Return `size` bytes of a buffer as a tensor of the type and shape of `like`."""
    return buffer[start : start + size].view(like.dtype).view(like.shape)
