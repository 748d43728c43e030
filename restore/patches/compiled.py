"""Networks for one shape: what compilers and CUDA graphs like to see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restore.contracts import Condition, Network

__all__ = ["FixedBatch"]


@dataclass(frozen=True)
class FixedBatch:
    """A network that always sees the same number of tiles; the last batch is filled up, and cut again.

    A compiler then meets one shape for each kind of tile, and a captured graph can be replayed.

    Attributes:
        network: `(x_t, value, condition) -> prediction`.
        batch: the number of tiles.
    """

    network: Network
    batch: int

    def __call__(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the prediction for however many tiles there are; see `Network`."""
        n = len(x_t)
        if n >= self.batch:
            return self.network(x_t, value, condition)
        index = torch.arange(self.batch, device=x_t.device).clamp_(max=n - 1)
        return self.network(x_t[index], value[index], condition.select(index))[:n]
