"""Seeds: one number from several."""

from __future__ import annotations

import numpy as np

__all__ = ["seed_of"]


def seed_of(*parts: int) -> int:
    """Return a 63-bit seed that depends on all parts and nothing else."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1
