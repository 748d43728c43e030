"""Networks for one shape: what compilers and CUDA graphs like to see."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore.contracts import Condition

__all__ = ["FixedBatch", "compiled"]


class FixedBatch(nn.Module):
    """A network that always sees the same number of tiles; the last batch is filled up, and cut again.

    A compiler then meets one shape for each kind of tile, and a captured graph can be replayed.

    Args:
        network: `(x_t, value, condition) -> prediction`.
        batch: the number of tiles.
    """

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.batch = network, batch
        if hasattr(network, "encode"):
            self.encode = network.encode

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the prediction for however many tiles there are; see `restore.contracts.Network`."""
        n = len(x_t)
        if n < self.batch:
            index = torch.arange(self.batch, device=x_t.device).clamp_(max=n - 1)
            x_t, value, condition = x_t[index], value[index], condition.select(index)
        # a captured graph writes its next answer where this one lies
        return self.network(x_t, value, condition)[:n].clone()


def compiled(network: nn.Module, batch: int) -> FixedBatch:
    """Return a network that is compiled for the shapes that it meets; the first evaluation of each takes minutes.

    On CUDA whole evaluations are captured as graphs, which pays for small batches, where starting operations takes
    longer than they do. On a CPU it needs a C++ compiler and gains little: the network is mostly convolutions.

    Args:
        network: `(x_t, value, condition) -> prediction`.
        batch: the number of tiles that it will be given at most.
    """
    cuda = next(network.parameters()).is_cuda
    return FixedBatch(torch.compile(network, dynamic=False, mode="reduce-overhead" if cuda else "default"), batch)
