"""Tiles: what the network sees at once, which of it counts, and how much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from restore.denoisers.tiles.spec import Tiles
from restore.denoisers.tiles.windows import axis_weights
from restore.errors import ConfigError

__all__ = ["Span", "Tile", "batches", "evaluations", "grid", "padded"]


@dataclass(frozen=True, eq=False)
class Span:
    """One tile along one axis.

    Attributes:
        seen: the pixels that the network sees; may reach beyond the image, which is then mirrored.
        kept: the pixels that the tile's estimate counts for, within `seen` and within the image.
        weight: (kept,) what it counts for each, summing to one over the tiles; None for one everywhere.
    """

    seen: slice
    kept: slice
    weight: Tensor | None = None

    @property
    def inner(self) -> slice:
        """Where `kept` lies within the tile."""
        return slice(self.kept.start - self.seen.start, self.kept.stop - self.seen.start)

    def weights(self, length: int, device: torch.device) -> Tensor:
        """Return the weights of all pixels of a tile of `length`, (length,); those that are not kept have none."""
        if self.weight is None:
            return torch.ones(length, device=device)
        before = self.inner.start
        return functional.pad(self.weight, (before, length - before - len(self.weight)))

    def to(self, device: torch.device | None) -> Span:
        """Return the same with its weights on a device."""
        return self if self.weight is None else Span(self.seen, self.kept, self.weight.to(device))


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile: its rows and columns, and its place in the whole image.

    Attributes:
        rows: the tile along the vertical axis.
        columns: the tile along the horizontal axis.
        box: top, left, bottom, right as shares of the image.
    """

    rows: Span
    columns: Span
    box: tuple[float, float, float, float]

    @property
    def shape(self) -> tuple[int, int]:
        """The (rows, columns) that the network sees."""
        rows, columns = self.rows.seen, self.columns.seen
        return rows.stop - rows.start, columns.stop - columns.start


def padded(tiles: Tiles, length: int) -> int:
    """Return the length of an axis that the tiles cover: that of the image, or more where it is below a tile.

    Tiles of the anchored and the shifted grid begin at multiples of what a network needs, the last one too, unless a
    stride is set: its coarse levels then see the same squares where two tiles meet, and the blocks of a JPEG
    file where they were seen in training.
    """
    if tiles.grid == "whole" or (tiles.grid in {"anchored", "shifted"} and tiles.stride is None):
        length = math.ceil(length / tiles.multiple) * tiles.multiple
    return length if tiles.grid == "whole" else max(length, tiles.tile(length))


def windowed(tiles: Tiles, length: int, offset: int) -> Iterator[Span]:
    """Yield the overlapping tiles along an axis, weighted by their windows."""
    covered = padded(tiles, length)
    tile = tiles.tile(covered)
    starts = tiles.starts(covered, offset)
    published = tiles.published(covered) if tiles.grid == "weatherdiffusion" else len(starts)
    weights = axis_weights(starts[:published], tile, covered, tiles.window)
    if len(starts) == 1:
        yield Span(slice(0, tile), slice(0, length))
        return
    for start, weight in zip(starts[:published], weights, strict=True):
        stop = min(start + tile, length)
        yield Span(slice(start, start + tile), slice(start, stop), weight[: stop - start])
    for start in starts[published:]:
        # an average over the published tiles alone stays what it is where there is one
        yield Span(slice(start, start + tile), slice(starts[published - 1] + tile, length))


def surrounded(tiles: Tiles, length: int, halo: int | None) -> Iterator[Span]:
    """Yield the parts of an axis, each seen with `halo` pixels around it as far as the image reaches.

    Only what lies further away than the field of view is left out, and the network's own zero padding is met at the
    image's borders alone, where it belongs; so the estimate is that of one evaluation of the whole image.

    Raises:
        ConfigError: there is more than one part, but the network's field of view has no bound.
    """
    covered = padded(tiles, length)
    if covered > tiles.size and halo is None:
        raise ConfigError(
            f"this network sees as far as the image reaches, so that {length} pixels cannot be taken in parts of "
            f"{tiles.size}: pass a tile size of at least {covered}, or another grid"
        )
    halo = math.ceil((halo or 0) / tiles.multiple) * tiles.multiple
    n = math.ceil(covered / tiles.size)
    part = math.ceil(covered / n / tiles.multiple) * tiles.multiple
    for start in range(0, covered, part):
        seen = slice(max(0, start - halo), min(covered, start + part + halo))
        yield Span(seen, slice(start, min(start + part, length)))


@lru_cache(maxsize=16)
def grid(
    tiles: Tiles,
    height: int,
    width: int,
    halo: int | None = None,
    offset: tuple[int, int] = (0, 0),
    device: torch.device | None = None,
) -> tuple[Tile, ...]:
    """Return the tiles of an image, row by row.

    Args:
        tiles: how to cut.
        height: of the image, in pixels.
        width: of the image, in pixels.
        halo: how far the network sees around a pixel, None for without bound; the whole grid needs it.
        offset: how far a shifted grid is moved, (rows, columns).
        device: where the weights are; the CPU by default.

    Raises:
        ConfigError: the whole grid needs several parts, but the network has no bounded field of view.
    """
    if tiles.grid == "whole":
        rows, columns = (list(surrounded(tiles, length, halo)) for length in (height, width))
        return tuple(Tile(row, column, (0.0, 0.0, 1.0, 1.0)) for row in rows for column in columns)
    axes = ((height, offset[0]), (width, offset[1]))
    rows, columns = ([span.to(device) for span in windowed(tiles, *axis)] for axis in axes)
    h, w = padded(tiles, height), padded(tiles, width)
    return tuple(
        Tile(row, column, (row.seen.start / h, column.seen.start / w, row.seen.stop / h, column.seen.stop / w))
        for row in rows
        for column in columns
    )


def evaluations(tiles: Tiles, height: int, width: int, halo: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield (tiles, rows, columns) of each network evaluation of a step for one image, the guard's included.

    A shifted grid has not the same number of tiles at every place; it is the most that it can have.
    """
    offsets = [
        max(tiles.places(padded(tiles, length)), key=lambda o, n=length: len(tiles.starts(padded(tiles, n), o)))
        for length in (height, width)
    ]
    shapes = Counter(tile.shape for tile in grid(tiles, height, width, halo, (offsets[0], offsets[1])))
    for shape, count in shapes.items():
        for start in range(0, count, tiles.batch):
            yield min(tiles.batch, count - start), *shape
    if coarse := tiles.coarse_size(height, width):
        yield from evaluations(tiles.coarse, *coarse)


def batches(tiles: Tiles, height: int, width: int, halo: int | None = None) -> Iterator[int]:
    """Yield the number of tiles of each network evaluation of a step for one image, see `evaluations`."""
    for count, _, _ in evaluations(tiles, height, width, halo):
        yield count
