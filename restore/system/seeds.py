"""Seeds: one number from several, and several from one."""

from __future__ import annotations

import numpy as np

__all__ = ["seed_of", "seeds_of"]


def seed_of(*parts: int) -> int:
    """Return a 63-bit seed that depends on all parts and nothing else."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1


def seeds_of(seed: int, count: int) -> list[int]:
    """Return the seeds of a batch's images, each its own: that of the first is the seed itself, as if it were alone."""
    return [seed if k == 0 else seed_of(seed, 0, k) for k in range(count)]
