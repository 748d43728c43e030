"""Where networks run, in which type, and where the images lie meanwhile."""

from __future__ import annotations

import torch
from torch import Tensor

from restore.errors import ConfigError

__all__ = ["HELD", "fast_dtype", "home_of", "is_out_of_memory", "pick_device", "placed"]

HELD = 4
"""Images in float32 that a step of a sampler holds at once: given, x_t, what tiles merge into, clipped."""


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of a name: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:1`.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; choose auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was requested, but this torch finds no CUDA device; use cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"there is no device {name!r} here: the last is cuda:{torch.cuda.device_count() - 1}")
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"unknown device {name!r}; choose auto, cpu or cuda")
    return device


def placed(device: torch.device | str) -> torch.device:
    """Return a device as tensors on it name theirs: `cuda` has a number."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return the type in which networks run fastest there: bfloat16 only where the hardware multiplies it."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that there is no more memory; PyTorch's CPU allocator has no type of its own."""
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")
    )


def home_of(images: Tensor, device: torch.device) -> torch.device:
    """Return where images stay while a device restores them: there, or on the CPU where they would not fit.

    From the CPU, tiles travel to a GPU and back while the network works on others.

    Args:
        images: (B, C, H, W), of any type.
        device: where the network is.
    """
    if device.type != "cuda":
        return device
    needed = HELD * images.numel() * torch.float32.itemsize
    # a quarter: the network needs room, and some samplers keep earlier estimates
    # what PyTorch keeps for the next tensors counts as taken, and is free
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return device if needed < free / 4 else torch.device("cpu")
