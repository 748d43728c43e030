"""Where networks run, in which type, and where the pictures lie meanwhile."""

from __future__ import annotations

import torch
from torch import Tensor

from restore.errors import ConfigError

__all__ = ["fast_dtype", "home_of", "pick_device", "placed"]

HELD = 8
"""Pictures' worth of float32 that a sampler holds at once, at most: the condition, x_t, estimates, noise, the merge."""


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
        raise ConfigError(f"device {name!r} was asked for, but this torch finds no CUDA device; use cpu or auto")
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


def home_of(pictures: Tensor, device: torch.device) -> torch.device:
    """Return where pictures stay while a device restores them: there, or on the CPU where they would not fit.

    From the CPU, tiles travel to a GPU and back while the network works on others.

    Args:
        pictures: (B, C, H, W), of any type.
        device: where the network is.
    """
    if device.type != "cuda":
        return device
    needed = HELD * pictures.numel() * torch.float32.itemsize
    return device if needed < torch.cuda.mem_get_info(device)[0] / 2 else torch.device("cpu")
