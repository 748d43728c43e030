"""A data set of somebody's own as a source of training regions: any map-style `torch.utils.data.Dataset` of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from restore.errors import ConfigError, DataError
from restore.training.loading import Draws, cut_region

__all__ = ["DatasetStore", "hold_out"]


class DatasetStore:
    """The pairs of a data set to cut training regions from; what is cut depends on seed, step and place alone.

    An item is `(degraded, clean)` or `(degraded, clean, label)`: two float tensors (3, H, W) in [0, 1] of one size, and
    the number of the degradation among the model's labels, 0 for unknown. Items are read by one thread at a time.

    Args:
        dataset: has `__len__` and `__getitem__`; a run can be resumed exactly if an item depends on its index alone.
        index: the items that are used.
        labels: those of the model.

    Raises:
        ConfigError: the data set has no length.
        DataError: there are no items.
    """

    in_memory = False

    def __init__(self, dataset: Dataset[Any], index: Sequence[int], labels: Sequence[str]) -> None:
        if not index:
            raise DataError("the data set for training is empty")
        self.dataset, self.index, self.labels = dataset, list(index), labels

    def __len__(self) -> int:
        return len(self.index)

    def report(self) -> str:
        """Return one line: how many pairs, of what."""
        return f"{len(self)} pairs of {type(self.dataset).__name__}"

    def item(self, index: int) -> tuple[Tensor, int]:
        """Return the pair (6, H, W), degraded and clean, and the label of an item.

        Raises:
            DataError: it is not what an item should be; the message names its index.
        """
        item, where = self.dataset[index], f"item {index} of {type(self.dataset).__name__}"
        if not isinstance(item, tuple | list) or len(item) not in (2, 3):
            raise DataError(f"{where} must be (degraded, clean) or (degraded, clean, label), not {type(item).__name__}")
        for name, image in zip(("degraded", "clean"), item, strict=False):
            _check_image(image, f"{where}: {name}")
        degraded, clean, *rest = item
        if degraded.shape != clean.shape:
            raise DataError(f"{where}: the shapes differ: {tuple(degraded.shape)} and {tuple(clean.shape)}")
        label = int(rest[0]) if rest else 0
        if not 0 <= label < len(self.labels):
            raise DataError(f"{where}: label {label} is not one of the model's 0 to {len(self.labels) - 1}")
        return torch.cat([degraded, clean]).float(), label

    def regions(
        self, step: int, batch: int, size: int, seed: int, *, rank: int = 0, world: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (degraded, clean, labels): float (batch / world, 3, size, size) twice, cut and flipped alike, int64.

        Raises:
            ConfigError: the batch cannot be divided by `world`.
            DataError: an item is not what it should be.
        """
        if batch % world or not 0 <= rank < world:
            raise ConfigError(f"a global batch of {batch} cannot be divided among {world} processes (this is {rank})")
        local, cut = batch // world, []
        for place in range(rank * local, (rank + 1) * local):
            draws = Draws(seed, step, place)
            pair, label = self.item(self.index[draws.below(len(self.index))])
            cut.append((cut_region(pair, size, draws), label))
        return _stacked(cut)

    def each(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (degraded, clean, labels) of one region of each pair, the same at every call, for validation."""
        cut = []
        for index in self.index:
            pair, label = self.item(index)
            cut.append((cut_region(pair, size, Draws(0, index), flips=False), label))
        return _stacked(cut)


def hold_out(dataset: Dataset[Any], count: int) -> tuple[list[int], list[int]]:
    """Return the items to train on, and `count` others, spread over the whole; none where there are no more than that.

    Raises:
        ConfigError: the data set has no length.
    """
    try:
        length = len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(
            f"{type(dataset).__name__} has no length: training takes map-style data sets (__len__ and __getitem__)"
        ) from None
    held = list(range(length))[:: max(1, length // max(count, 1))][:count] if length > count else []
    return sorted(set(range(length)) - set(held)), held


def _check_image(image: Any, where: str) -> None:
    """Raise a DataError unless it is a float image (3, H, W) in [0, 1]."""
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 3 or len(image) != 3:
        found = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise DataError(f"{where} must be a float tensor (3, H, W), not {found}")
    low, high = (float(x) for x in image.aminmax()) if image.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise DataError(f"{where} must lie in [0, 1], not from {low:.3g} to {high:.3g}")


def _stacked(cut: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    pairs = torch.stack([pair for pair, _ in cut])
    return pairs[:, :3], pairs[:, 3:], torch.tensor([label for _, label in cut])
