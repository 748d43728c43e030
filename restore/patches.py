"""Patches: a denoiser for small squares becomes one for pictures of any size.

Estimates of overlapping tiles are averaged with weights that sum to one at every pixel. Averaging x_0 equals
averaging noise estimates as WeatherDiffusion does (algorithm 2), since the two are affine in each other at each
pixel, as long as clipping comes after the merge. So every sampler becomes patch-based without knowing it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.errors import ConfigError
from restore.schema import Spec

__all__ = ["Patched", "Patches", "Tile", "reflect_pad", "thumbnail"]

Window = Literal["uniform", "hann", "gaussian"]
CONTEXT_SIZE = 32


class Patches(Spec):
    """How a picture is cut.

    Attributes:
        size: side of a tile, in pixels; pictures below it are one tile.
        overlap: pixels that neighbouring tiles share at least.
        batch: tiles per evaluation of the network.
        window: weights inside a tile before they are normalised to sum to one at every pixel.
        multiple: sides of a tile are multiples of this.
        fixed: every tile is `size` x `size` (networks for one size); else tiles shrink to cover the picture evenly.
        context: side of the thumbnail of the whole picture that every tile is shown; 0 for none.
    """

    size: int = Field(256, ge=1)
    overlap: int = Field(32, ge=0)
    batch: int = Field(4, ge=1)
    window: Window = "hann"
    multiple: int = Field(16, ge=1)
    fixed: bool = False
    context: int = Field(0, ge=0, le=512)

    @model_validator(mode="after")
    def _check(self) -> Patches:
        if self.overlap >= self.size:
            raise ValueError(f"overlap must be below the patch size, {self.size}, not {self.overlap}")
        if self.size % self.multiple:
            raise ValueError(f"the patch size must be a multiple of {self.multiple} for this network, not {self.size}")
        return self

    def tile(self, length: int) -> int:
        """Return the side of the tiles that cover `length` pixels."""
        if self.fixed:
            return self.size
        span = self.size - self.overlap
        n = max(1, math.ceil((length - self.overlap) / span))
        # n tiles that share the overlap evenly: no tile is computed twice because the last one is anchored
        needed = math.ceil((length + (n - 1) * self.overlap) / n)
        return min(self.size, math.ceil(needed / self.multiple) * self.multiple)

    def starts(self, length: int) -> list[int]:
        """Return where tiles begin along an axis of `length` >= `tile(length)` pixels; the last ends at the border.

        >>> Patches(size=64, overlap=16, fixed=True).starts(150)
        [0, 48, 86]
        """
        tile = self.tile(length)
        last = length - tile
        return [*range(0, last, tile - min(self.overlap, tile - 1)), last]


@dataclass(frozen=True)
class Tile:
    """One tile: its place in the picture, and its weights along each axis.

    Attributes:
        rows: slice of rows.
        columns: slice of columns.
        weight_rows: (h,) weights; their product with `weight_columns` sums to one over the tiles at every pixel.
        weight_columns: (w,) weights.
    """

    rows: slice
    columns: slice
    weight_rows: Tensor
    weight_columns: Tensor


def window(kind: Window, size: int) -> Tensor:
    """Return the (size,) float64 window, positive everywhere."""
    centre = torch.arange(size, dtype=torch.float64) + 0.5
    if kind == "uniform":
        return torch.ones(size, dtype=torch.float64)
    if kind == "hann":
        return torch.sin(math.pi * centre / size) ** 2
    if kind == "gaussian":
        return torch.exp(-0.5 * ((centre - size / 2) / (size / 6)) ** 2)
    raise ConfigError(f"unknown window {kind!r}; choose uniform, hann or gaussian")


def axis_weights(starts: list[int], tile: int, length: int, kind: Window) -> list[Tensor]:
    """Return one (tile,) float32 weight per start; they sum to one at each of the `length` pixels.

    Windows are products of two axes and so are grids, therefore so is the normalisation: no image-sized buffer.
    """
    shape = window(kind, tile)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += shape
    return [(shape / total[start : start + tile]).float() for start in starts]


@lru_cache(maxsize=16)
def grid(patches: Patches, height: int, width: int) -> tuple[Tile, ...]:
    """Return the tiles of a picture of at least one tile's size, row by row."""
    th, tw = patches.tile(height), patches.tile(width)
    ys, xs = patches.starts(height), patches.starts(width)
    wy = axis_weights(ys, th, height, patches.window)
    wx = axis_weights(xs, tw, width, patches.window)
    return tuple(
        Tile(slice(y, y + th), slice(x, x + tw), wy[i], wx[j]) for i, y in enumerate(ys) for j, x in enumerate(xs)
    )


def reflect_index(length: int, target: int) -> Tensor:
    """Return (target,) indices into `length` pixels, mirrored at the borders as often as it takes.

    >>> reflect_index(3, 8).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    if length == 1:
        return torch.zeros(target, dtype=torch.int64)
    period = 2 * (length - 1)
    phase = torch.arange(target) % period
    return torch.minimum(phase, period - phase)


def reflect_pad(image: Tensor, height: int, width: int) -> Tensor:
    """Return the image, (..., H, W), continued by reflection below and to the right to at least (height, width)."""
    h, w = image.shape[-2:]
    if h < height:
        image = image.index_select(-2, reflect_index(h, height).to(image.device))
    if w < width:
        image = image.index_select(-1, reflect_index(w, width).to(image.device))
    return image


def thumbnail(image: Tensor, size: int = CONTEXT_SIZE) -> Tensor:
    """Return the area average of a batch of pictures, (B, C, size, size), of (B, C, H, W)."""
    return F.adaptive_avg_pool2d(image, size)


@dataclass(frozen=True)
class Patched:
    """A denoiser that sees a picture of any size through tiles.

    Every pixel is covered, the merge is a stream (the picture and one batch of tiles are all that is held), and what
    comes out has exactly the size of what went in.

    Attributes:
        denoiser: denoises tiles.
        patches: how to cut.
    """

    denoiser: Denoiser
    patches: Patches

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the merged estimate; see `Denoiser`."""
        b, _, height, width = x_t.shape
        h, w = max(height, self.patches.tile(height)), max(width, self.patches.tile(width))
        if condition.context is None and self.patches.context:
            condition = condition.map(context=thumbnail(condition.image, self.patches.context))
        x_t = reflect_pad(x_t, h, w)
        condition = condition.map(image=reflect_pad(condition.image, h, w))
        merged: list[Tensor | None] = [None] * len(Estimate._fields)
        jobs = [(i, tile) for i in range(b) for tile in grid(self.patches, h, w)]
        for start in range(0, len(jobs), self.patches.batch):
            batch = jobs[start : start + self.patches.batch]
            estimate = self.denoiser(*crop(batch, x_t, level, condition))
            for i, field in enumerate(estimate):
                if field is not None:
                    merged[i] = merge(batch, field, merged[i], (b, h, w))
        return Estimate(*(None if field is None else field[..., :height, :width] for field in merged))  # type: ignore[arg-type]


def crop(
    batch: list[tuple[int, Tile]], x_t: Tensor, level: Level, condition: Condition
) -> tuple[Tensor, Level, Condition]:
    """Return what the denoiser sees of a batch of (picture, tile)."""
    height, width = x_t.shape[-2:]
    picture = torch.tensor([i for i, _ in batch], device=x_t.device)

    def cut(image: Tensor) -> Tensor:
        return torch.stack([image[i, :, tile.rows, tile.columns] for i, tile in batch])

    box = torch.tensor(
        [
            (t.rows.start / height, t.columns.start / width, t.rows.stop / height, t.columns.stop / width)
            for _, t in batch
        ],
        device=x_t.device,
    )
    seen = condition.select(picture).map(image=None)  # type: ignore[arg-type]
    return (
        cut(x_t),
        Level(level.t[picture], level.alpha_bar[picture]),
        seen.map(image=cut(condition.image), box=box),
    )


def merge(
    batch: list[tuple[int, Tile]], tiles: Tensor, total: Tensor | None, shape: tuple[int, int, int]
) -> Tensor:
    """Return `total` (B, C, H, W) with the weighted tiles added in place."""
    if total is None:
        b, h, w = shape
        total = tiles.new_zeros(b, tiles.shape[1], h, w)
    for (i, tile), estimate in zip(batch, tiles, strict=True):
        wy, wx = tile.weight_rows.to(tiles)[:, None], tile.weight_columns.to(tiles)
        total[i, :, tile.rows, tile.columns].add_(estimate * wy * wx)
    return total


def batches(patches: Patches, height: int, width: int) -> Iterator[int]:
    """Yield the number of tiles of each network evaluation for one picture."""
    h, w = max(height, patches.tile(height)), max(width, patches.tile(width))
    n = len(grid(patches, h, w))
    for start in range(0, n, patches.batch):
        yield min(patches.batch, n - start)
