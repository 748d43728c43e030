"""How much memory a piece of code needs at its highest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def peak_memory() -> Callable[[], int]:
    """A function that returns the highest resident memory since its last call, in bytes."""

    def measure() -> int:
        status = Path("/proc/self/status").read_text()
        reset.write_text("5")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    reset = Path("/proc/self/clear_refs")
    try:
        measure()
    except OSError:
        pytest.skip("this system does not let a process reset its peak of memory")
    return measure
