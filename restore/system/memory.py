"""The memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

__all__ = ["in_use", "peak_resident", "resident"]


def resident() -> int:
    """Return the bytes of physical memory that this process has now; where that is unknown, the most it has had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_resident()
    import resource

    return pages * resource.getpagesize()


def peak_resident() -> int:
    """Return the most bytes of physical memory that this process has had, or 0 where that is unknown (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_use(device: torch.device) -> int:
    """Return the bytes that are taken now where images are restored: on the GPU, or by this process."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else resident()
