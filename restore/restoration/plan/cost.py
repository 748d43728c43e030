"""What one evaluation of a network costs, found out on tensors that have shapes but no numbers."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from restore.contracts import Condition
from restore.models.recipe import Recipe
from restore.networks import build_empty

__all__ = ["Cost", "cost"]


@dataclass(frozen=True)
class Cost:
    """What one evaluation of the network costs.

    Attributes:
        flop: multiplications and additions of its convolutions, matrix products and attention.
        bytes: the most that its tensors, its input and its output hold at once; without weights.
    """

    flop: int
    bytes: int


class PeakBytes(TorchDispatchMode):
    """Counts the bytes that tensors made inside of it hold at once; `peak` is the most.

    Args:
        weights: what was there before, and is not counted when a view of it is made.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet(tensor.untyped_storage() for tensor in weights)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what the operation returns, and take note of new memory."""
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self.known:
            return
        size = storage.nbytes()
        self.known.add(storage)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, size)

    def _gone(self, size: int) -> None:
        self.now -= size


@lru_cache(maxsize=4)
def _empty(recipe: str, dtype: torch.dtype) -> tuple[Recipe, nn.Module]:
    """Return a recipe's network without numbers in it."""
    document = Recipe.model_validate_json(recipe)
    network = build_empty(document.network.build)
    return document, network.to(dtype, memory_format=torch.channels_last).eval()


@lru_cache(maxsize=256)
def _measure(recipe: str, batch: int, height: int, width: int, dtype: torch.dtype) -> Cost:
    document, network = _empty(recipe, dtype)
    side, known = document.tiles.context, document.network.capabilities
    with torch.device("meta"), torch.no_grad():
        small = torch.empty(batch, 3, side, side, dtype=dtype) if side else None
        features = network.encode(small) if small is not None and known.encodes else None
        peak, flops = PeakBytes([*network.parameters(), *network.buffers()]), FlopCounterMode(display=False)
        with peak, flops:
            channels = known.state_channels, known.condition_channels
            x_t, image = (torch.empty(batch, c, height, width, dtype=dtype) for c in channels)
            label = torch.zeros(batch, dtype=torch.int64)
            network(x_t, torch.empty(batch), Condition(image, label, small, features, torch.empty(batch, 4)))
    return Cost(flops.get_total_flops(), peak.peak)


def cost(recipe: Recipe, batch: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Cost:
    """Return what one evaluation of the recipe's network costs for `batch` tiles of a size."""
    return _measure(recipe.model_dump_json(), batch, height, width, dtype)
