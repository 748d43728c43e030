"""How an image is cut: the typed document, and where tiles begin along an axis."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from restore.denoisers.tiles.windows import WindowShape
from restore.schema import Spec

__all__ = ["Grid", "Tiles"]

Grid = Literal["anchored", "weatherdiffusion", "shifted", "whole"]


class Tiles(Spec):
    """How an image is cut.

    Attributes:
        grid: `anchored` has a fixed stride and its last tile ends at the border; `weatherdiffusion` is the published
            grid (every stride-th pixel, as far as whole tiles fit), continued to the border by tiles that count only
            where no published tile is; `shifted` is moved to another seeded place at every step, so that seams
            average out over the steps and little overlap is enough; `whole` gives what one evaluation of the whole
            image gives, in parts that are seen with all of the network's field of view around them.
        size: side of a tile in pixels; images below it are one tile. For `whole`, the side of the part that one
            evaluation restores; the network sees its field of view more on each side.
        stride: pixels from one tile to the next; `size - overlap` where it is not given. `whole` has none.
        overlap: pixels that neighbouring tiles share at least; the anchored and the shifted grid round it up to a
            multiple of `multiple` where a tile has room for that.
        batch: tiles per evaluation of the network.
        window: weights inside a tile before they are normalised to sum to one at every pixel.
        multiple: sides of a tile are multiples of this.
        fixed: every tile is `size` x `size` (networks for one size); else tiles shrink to cover the image evenly.
        context: side of the thumbnail of the whole image that every tile is conditioned on; 0 for none.
        guard: how far (0 to 1) the colours of large areas are held to those of one coarse estimate of the image;
            0 leaves it out.
    """

    grid: Grid = "anchored"
    size: int = Field(256, ge=1, le=2**20)
    stride: int | None = Field(None, ge=1, le=2**20)
    overlap: int = Field(32, ge=0, le=2**20)
    batch: int = Field(4, ge=1, le=4096)
    window: WindowShape = "hann"
    multiple: int = Field(16, ge=1, le=2**16)
    fixed: bool = False
    context: int = Field(0, ge=0, le=512)
    guard: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Tiles:
        if self.overlap >= self.size:
            raise ValueError(f"overlap must be below the patch size, {self.size}, not {self.overlap}")
        if self.stride is not None and self.stride > self.size:
            raise ValueError(f"stride must be at most the patch size, {self.size}, or pixels are left out")
        if self.size % self.multiple:
            raise ValueError(f"the patch size must be a multiple of {self.multiple} for this network, not {self.size}")
        if self.grid == "whole" and (self.fixed or self.stride is not None):
            raise ValueError("the whole grid has neither a stride nor tiles of a fixed size")
        return self

    @property
    def shared(self) -> int:
        """Pixels that neighbouring tiles share at least.

        >>> Tiles(size=64, overlap=20).shared
        32
        """
        rounded = math.ceil(self.overlap / self.multiple) * self.multiple
        return rounded if self.grid in {"anchored", "shifted"} and rounded < self.size else self.overlap

    @property
    def step(self) -> int:
        """Stride from one tile to the next, in pixels; derived from the overlap where none is set."""
        return self.stride or self.size - self.shared

    @property
    def coarse(self) -> Tiles:
        """How the guard's small image is cut: it is one tile."""
        return Tiles(size=self.size, overlap=0, multiple=self.multiple, fixed=self.fixed, batch=self.batch)

    def coarse_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the size of the guard's small image; None where there is no guard, or the image is one tile.

        >>> Tiles(size=64, guard=1).coarse_size(100, 200)
        (32, 64)
        """
        factor = self.size / max(height, width)
        if not self.guard or factor >= 1:
            return None
        return max(1, round(height * factor)), max(1, round(width * factor))

    def overlap_of(self, size: int) -> int:
        """Return the overlap of tiles of another size: the same share of the tile, or 32 pixels where that is less.

        >>> [Tiles(size=1024, overlap=128).overlap_of(size) for size in (512, 128, 32)]
        [64, 32, 16]
        """
        return min(max(self.overlap * size // self.size, min(self.overlap, 32)), size // 2)

    def tile(self, length: int) -> int:
        """Return the side of the tiles that cover `length` pixels; it may be more than `length`."""
        if self.fixed or self.grid == "weatherdiffusion":
            return self.size
        if self.grid == "shifted" or self.stride is not None:
            return min(self.size, math.ceil(length / self.multiple) * self.multiple)
        n = max(1, math.ceil((length - self.shared) / self.step))
        # n tiles that share the overlap evenly: no tile is computed twice because the last one is anchored
        needed = math.ceil((length + (n - 1) * self.shared) / n)
        return min(self.size, math.ceil(needed / self.multiple) * self.multiple)

    def starts(self, length: int, offset: int = 0) -> list[int]:
        """Return where tiles begin along an axis of `length` >= `tile(length)` pixels; the last ends at the border.

        Args:
            length: of the axis, in pixels.
            offset: how far a shifted grid is moved; others ignore it.

        >>> Tiles(size=64, overlap=16, fixed=True).starts(150)
        [0, 48, 86]
        >>> Tiles(size=64, overlap=16, grid="shifted").starts(150, offset=30)
        [0, 30, 78, 86]
        """
        tile = self.tile(length)
        last = length - tile
        stride = self.stride or tile - min(self.shared, tile - 1)
        inner = range(offset % stride if self.grid == "shifted" else 0, last, stride)
        return sorted({0, *inner, last})

    def published(self, length: int) -> int:
        """Return how many of the starts of a `weatherdiffusion` grid are the publication's: all but an anchored one."""
        return len(range(0, length - self.size + 1, self.step))

    def places(self, length: int) -> range:
        """Return how far a shifted grid can be moved along an axis of `length` pixels: by multiples where it can."""
        tile = self.tile(length)
        if self.grid != "shifted" or tile >= length:
            return range(1)
        stride = self.stride or tile - min(self.shared, tile - 1)
        return range(0, stride, self.multiple if stride % self.multiple == 0 else 1)

    def offset(self, seed: int, t: int, height: int, width: int) -> tuple[int, int]:
        """Return how far the grid is moved at level `t`, (rows, columns).

        It follows from the arguments alone: no state, so that a step can be repeated, and batched with any other.
        """
        rows, columns = self.places(height), self.places(width)
        if len(rows) == len(columns) == 1:
            return 0, 0
        draws = np.random.SeedSequence((seed, t)).generate_state(2)
        return rows[int(draws[0]) % len(rows)], columns[int(draws[1]) % len(columns)]
