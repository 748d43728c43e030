"""The patch engine: a denoiser for tiles as a denoiser for pictures.

Tiles are cut when their turn comes and added into the picture when they are done: what is held is the picture and one
batch. Tiles of all pictures of a batch share the evaluations of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers.tiles.grid import Tile, grid
from restore.denoisers.tiles.padding import reflect_crop
from restore.denoisers.tiles.spec import Patches
from restore.denoisers.tiles.thumbnail import thumbnail
from restore.denoisers.tiles.transfer import Transfer
from restore.errors import ConfigError
from restore.system.devices import is_out_of_memory

__all__ = ["Capacity", "Patched"]

Job = tuple[int, Tile]
Done = tuple[list[Job], Estimate]


@dataclass
class Capacity:
    """How many tiles fit into the device's memory at once, found out by trying; it changes no result.

    Attributes:
        limits: the most that is tried of tiles of a size, (rows, columns), once more have failed.
    """

    limits: dict[tuple[int, int], int] = field(default_factory=dict)

    def batch(self, wanted: int, shape: tuple[int, int]) -> int:
        """Return how many tiles of a size to try where `wanted` are."""
        return min(wanted, self.limits.get(shape, wanted))

    def exceeded(self, tried: int, shape: tuple[int, int]) -> None:
        """Take note that `tried` tiles of a size were too many.

        Raises:
            ConfigError: it was a single one.
        """
        if tried == 1:
            raise ConfigError(
                f"one tile of {shape[1]}x{shape[0]} pixels does not fit into the device's memory: pass a smaller patch"
            )
        self.limits[shape] = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class Patched:
    """A denoiser that sees a picture of any size through tiles.

    Every pixel is covered, the merge is a stream (the picture and one batch of tiles are all that is held), and what
    comes out has exactly the size of what went in. A picture's result depends neither on the other pictures of its
    batch nor, but for rounding, on how many tiles are evaluated at once.

    Attributes:
        denoiser: denoises tiles.
        patches: how to cut.
        halo: how far the network sees around a pixel; None for without bound. The whole grid needs it.
        seeds: one per picture, for shifted grids; 0 for all where it is empty.
        device: where tiles are denoised, if not where the pictures are: pictures larger than a GPU's memory.
        capacity: shared between the steps, and between pictures, so that a batch that was too large is tried once.
    """

    denoiser: Denoiser
    patches: Patches
    halo: int | None = None
    seeds: tuple[int, ...] = ()
    device: torch.device | None = None
    capacity: Capacity = field(default_factory=Capacity, compare=False, repr=False)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the merged estimate; see `Denoiser`."""
        if condition.context is None and self.patches.context:
            condition = condition.map(context=thumbnail(condition.image, self.patches.context))
        totals: list[Tensor | None] = [None] * len(Estimate._fields)
        for batch, estimate in self._estimates(self._jobs(x_t, level), x_t, level, condition):
            for k, tiles in enumerate(estimate):
                if tiles is not None:
                    totals[k] = merge(batch, tiles, totals[k], x_t)
        return Estimate(*totals)  # type: ignore[arg-type]

    def _jobs(self, x_t: Tensor, level: Level) -> list[Job]:
        """Return every tile of every picture; tiles of one shape stand together, so that they can share a batch."""
        b, _, height, width = x_t.shape
        seeds = self.seeds or (0,) * b
        shapes: dict[tuple[int, int], list[Job]] = {}
        for i, (seed, t) in enumerate(zip(seeds, level.t.tolist(), strict=True)):
            offset = self.patches.offset(seed, t, height, width)
            for tile in grid(self.patches, height, width, self.halo, offset, x_t.device):
                shapes.setdefault(tile.shape, []).append((i, tile))
        return list(chain.from_iterable(shapes.values()))

    def _estimates(self, jobs: list[Job], x_t: Tensor, level: Level, condition: Condition) -> Iterator[Done]:
        """Yield the jobs' estimates, batch by batch, in order; a batch that does not fit is halved."""
        transfer = Transfer(x_t.device, self.device or x_t.device)
        position = 0
        while position < len(jobs):
            batch = take(jobs, position, self.capacity.batch(self.patches.batch, jobs[position][1].shape))
            estimate = None
            try:
                estimate = self.denoiser(*transfer.there(*crop(batch, x_t, level, condition)))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # not in the handler, which holds on to the tensors of the failed attempt
            if estimate is None:
                self.capacity.exceeded(len(batch), batch[0][1].shape)
                continue
            position += len(batch)
            yield from transfer.back(batch, estimate)
        yield from transfer.rest()


def take(jobs: Sequence[Job], position: int, count: int) -> list[Job]:
    """Return the next jobs, at most `count` and all of one shape."""
    shape = jobs[position][1].shape
    batch = list(jobs[position : position + count])
    while batch[-1][1].shape != shape:
        batch.pop()
    return batch


def crop(batch: list[Job], x_t: Tensor, level: Level, condition: Condition) -> tuple[Tensor, Level, Condition]:
    """Return what the denoiser sees of a batch of (picture, tile)."""

    def cut(image: Tensor) -> Tensor:
        return torch.stack([reflect_crop(image[i], tile.rows.seen, tile.columns.seen) for i, tile in batch])

    place = torch.tensor([(i, *tile.box) for i, tile in batch], dtype=torch.float64)
    place = place.to(x_t.device, non_blocking=True)  # or the host would wait until a GPU has done all before
    picture = place[:, 0].long()
    seen = condition.map(image=None).select(picture)  # type: ignore[arg-type]
    seen = seen.map(image=cut(condition.image), box=place[:, 1:].float())
    return cut(x_t), Level(level.t[picture], level.alpha_bar[picture]), seen


def merge(batch: list[Job], tiles: Tensor, total: Tensor | None, like: Tensor) -> Tensor:
    """Return `total`, (B, C, H, W) for `like` (B, _, H, W), with the weighted tiles added in place."""
    if total is None:
        b, _, h, w = like.shape
        total = tiles.new_zeros(b, tiles.shape[1], h, w)
    for name, side in (("rows", 2), ("columns", 3)):
        spans = [getattr(tile, name) for _, tile in batch]
        if any(span.weight is not None for span in spans):
            weights = torch.stack([span.weights(tiles.shape[side], tiles.device) for span in spans])
            tiles = tiles * weights.to(tiles).view(len(batch), 1, *((-1, 1) if side == 2 else (1, -1)))
    for (i, tile), estimate in zip(batch, tiles, strict=True):
        rows, columns = tile.rows, tile.columns
        total[i, :, rows.kept, columns.kept].add_(estimate[:, rows.inner, columns.inner])
    return total
