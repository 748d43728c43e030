"""Networks for one shape: what compilers and CUDA graphs like to see."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import suppress

import torch
from torch import Tensor, nn

from restore.contracts import Condition
from restore.errors import ConfigError

__all__ = ["FixedBatch", "check_compiler", "compiled"]


class FixedBatch(nn.Module):
    """A network that sees few numbers of tiles; a batch that is not full is filled up, and cut again.

    A compiler then meets one shape for each kind of tile, and a captured graph can be replayed. Where memory does not
    suffice for a full batch, half as many are evaluated, and so on: each half is one more shape to compile.

    Args:
        network: `(x_t, value, condition) -> prediction`.
        batch: the number of tiles.
    """

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.batch, self.fits = network, batch, batch

    def encode(self, thumbnail: Tensor) -> Tensor:
        """Return the features of a thumbnail, where the network has any (`restore.networks.base.Capabilities`)."""
        return self.network.encode(thumbnail)  # type: ignore[operator]

    def filled(self, n: int) -> int:
        """Return how many tiles are evaluated for `n`: a full batch, halved as long as it is too large for memory."""
        size = self.batch
        while size > self.fits and size // 2 >= n:
            size //= 2
        return max(size, n)

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the prediction for however many tiles there are; see `restore.contracts.Network`.

        Raises:
            torch.OutOfMemoryError: no fewer tiles can be evaluated for these.
        """
        n = len(x_t)
        while True:
            size = self.filled(n)
            # handled below, where the failed attempt's tensors are gone
            with suppress(torch.OutOfMemoryError):
                return self._answer(size, x_t, value, condition)
            self.fits = min(self.fits, size // 2)
            if self.filled(n) == size:
                raise torch.OutOfMemoryError(f"{size} tiles do not fit into the device's memory")
            if x_t.is_cuda:
                torch.cuda.empty_cache()

    def _answer(self, size: int, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        n = len(x_t)
        if n < size:
            index = torch.arange(size, device=x_t.device).clamp_(max=n - 1)
            x_t, value, condition = x_t[index], value[index], condition.select(index)
        # a captured graph writes its next output into the same memory
        return self.network(x_t, value, condition)[:n].clone()


def check_compiler(cuda: bool) -> None:
    """Raise ConfigError unless the compiler that PyTorch needs to compile a network is installed.

    Args:
        cuda: for a GPU, whose kernels are started by a few lines of C; on a CPU all is C++.

    Raises:
        ConfigError: there is none.
    """
    language, variable, usual = ("C", "CC", ["gcc", "clang", "cc"]) if cuda else ("C++", "CXX", _usual())
    named = shlex.split(os.environ.get(variable, ""))[:1]
    if not any(shutil.which(name) for name in named or usual):
        looked = " or ".join(named or usual)
        raise ConfigError(
            f"compiling the network needs a {language} compiler, and there is no {looked} here: "
            f"install one, or name it in the environment variable {variable}"
        )


def _usual() -> list[str]:
    """Return the C++ compiler that PyTorch takes on this system where none is named."""
    return {"darwin": ["clang++"], "win32": ["cl"]}.get(sys.platform, ["g++"])


def compiled(network: nn.Module, batch: int) -> FixedBatch:
    """Return a network that is compiled for the shapes that it meets; the first evaluation of each takes minutes.

    On CUDA whole evaluations are captured as graphs, which pays for small batches, where starting operations takes
    longer than they do. On a CPU it needs a C++ compiler and gains little: the network is mostly convolutions.

    Args:
        network: `(x_t, value, condition) -> prediction`.
        batch: the number of tiles that it will be given at most.

    Raises:
        ConfigError: there is no compiler here.
    """
    cuda = next(network.parameters()).is_cuda
    check_compiler(cuda)
    return FixedBatch(torch.compile(network, dynamic=False, mode="reduce-overhead" if cuda else "default"), batch)
