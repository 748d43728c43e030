"""What the benchmarks share: the machine's name, a Markdown table, peak memory, the rate of matrix products."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch


def describe(device: str | torch.device = "cpu") -> str:
    """Return one line: processor or GPU, threads, versions."""
    if torch.device(device).type == "cuda":
        place = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    else:
        name = platform.processor() or platform.machine()
        info = Path("/proc/cpuinfo")
        if info.exists():
            lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
            name = lines[0].split(":", 1)[1].strip() if lines else name
        capability = torch.backends.cpu.get_cpu_capability()
        place = f"{name}, {torch.get_num_threads()} of {os.cpu_count()} threads, {capability}"
    return f"{place}; torch {torch.__version__}, Python {platform.python_version()}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    cells = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(header), ["---"] * len(header), *cells])


def timed(call: Callable[[], Any], device: str | torch.device = "cpu") -> float:
    """Return the seconds of one call, the device's work included."""
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if cuda:
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def turns(calls: dict[str, Callable[[], Any]], rounds: int, device: str | torch.device = "cpu") -> dict[str, float]:
    """Return the median times of contestants that take turns, so that a busy machine slows all alike.

    The first turn is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            seconds[name].append(timed(call, device))
    return {name: median(times[1:]) for name, times in seconds.items()}


def matrix_product(dtype: torch.dtype, device: str | torch.device = "cpu") -> tuple[Callable[[], Any], int]:
    """Return a product of large square matrices, and its operations."""
    size = 8192 if torch.device(device).type == "cuda" else 1536
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    return lambda: a @ b, 2 * size**3


def forget_peak() -> int:
    """Return the bytes resident now, and let the peak be counted from here (Linux; elsewhere since the start)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")
    return status("VmRSS")


def status(key: str) -> int:
    """Return a value of this process's status in bytes, `VmRSS` or `VmHWM` (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {key}")
