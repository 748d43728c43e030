"""Several processes as one: what a network draws by itself is drawn for the global batch, too."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GlobalDropout", "share_dropout"]


class GlobalDropout(nn.Module):
    """Dropout whose mask is drawn for the global batch; a process takes its rows of it.

    With the same seed in all processes, every image loses what it would lose in one process alone.

    Args:
        probability: of losing a value.
        rank: this process.
        processes: how many share the global batch, each with as many rows.
    """

    def __init__(self, probability: float, rank: int, processes: int) -> None:
        super().__init__()
        self.probability, self.rank, self.processes = probability, rank, processes

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, ...) values, some of them 0 and the others larger, in training."""
        if not self.training:
            return x
        n, channels_last = len(x), x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        # masks are drawn in the order of the memory
        order = torch.channels_last if channels_last else torch.contiguous_format
        shape = (n * self.processes, *x.shape[1:])
        ones = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order).fill_(1)
        return x * F.dropout(ones, self.probability)[self.rank * n : (self.rank + 1) * n]


def share_dropout(network: nn.Module, rank: int, processes: int) -> None:
    """Replace each dropout of a network by one that is drawn for the global batch; with one process nothing changes."""
    if processes == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, GlobalDropout(child.p, rank, processes))
