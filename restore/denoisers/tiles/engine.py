"""The patch engine: a denoiser for tiles as a denoiser for images.

Tiles are cut when their turn comes and added into the image when they are done: what is held is the image and one
batch. Tiles of all images of a batch share the evaluations of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers.tiles.grid import Tile, grid
from restore.denoisers.tiles.padding import reflect_crop
from restore.denoisers.tiles.spec import Tiles
from restore.denoisers.tiles.thumbnail import thumbnail
from restore.denoisers.tiles.transfer import Transfer
from restore.errors import ConfigError
from restore.system.devices import is_out_of_memory

__all__ = ["Capacity", "Tiled"]

Cut = tuple[int, Tile]
"""One tile of one image of the batch."""

Done = tuple[list[Cut], Estimate]


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
class Tiled:
    """A denoiser that sees an image of any size through tiles.

    Every pixel is covered, the merge is a stream (the image and one batch of tiles are all that is held), and what
    comes out has exactly the size of what went in. An image's result depends neither on the other images of its
    batch nor, but for rounding, on how many tiles are evaluated at once.

    Attributes:
        denoiser: denoises tiles.
        tiles: how to cut.
        halo: how far the network sees around a pixel; None for without bound. The whole grid needs it.
        seeds: one per image, for shifted grids; 0 for all where it is empty.
        device: where tiles are denoised, if not where the images are: images larger than a GPU's memory.
        capacity: shared between the steps, and between images, so that a batch that was too large is tried once.
        on_tiles: called with the number of tiles after each evaluation, for progress bars and for cancelling.
    """

    denoiser: Denoiser
    tiles: Tiles
    halo: int | None = None
    seeds: tuple[int, ...] = ()
    device: torch.device | None = None
    capacity: Capacity = field(default_factory=Capacity, compare=False, repr=False)
    on_tiles: Callable[[int], None] | None = None

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the merged estimate; see `Denoiser`."""
        if condition.thumbnail is None and condition.features is None and self.tiles.context:
            condition = condition.replaced(thumbnail=thumbnail(condition.image, self.tiles.context))
        transfer = Transfer(x_t.device, self.device or x_t.device)
        totals: list[Tensor | None] = [None] * len(Estimate._fields)
        cuts, position = self._cuts(x_t, level), 0
        while position < len(cuts):
            batch = take(cuts, position, self.capacity.batch(self.tiles.batch, cuts[position][1].shape))
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
            if self.on_tiles is not None:
                self.on_tiles(len(batch))
            add(transfer.back(batch, estimate), totals, x_t)
        add(transfer.rest(), totals, x_t)
        return Estimate(*totals)  # type: ignore[arg-type]

    def _cuts(self, x_t: Tensor, level: Level) -> list[Cut]:
        """Return every tile of every image; tiles of one shape stand together, so that they can share a batch."""
        b, _, height, width = x_t.shape
        seeds = self.seeds or (0,) * b
        shapes: dict[tuple[int, int], list[Cut]] = {}
        for i, (seed, t) in enumerate(zip(seeds, level.numbers(), strict=True)):
            offset = self.tiles.offset(seed, t, height, width)
            for tile in grid(self.tiles, height, width, self.halo, offset, x_t.device):
                shapes.setdefault(tile.shape, []).append((i, tile))
        return list(chain.from_iterable(shapes.values()))


def take(cuts: Sequence[Cut], position: int, count: int) -> list[Cut]:
    """Return the next tiles, at most `count` and all of one shape."""
    shape = cuts[position][1].shape
    batch = list(cuts[position : position + count])
    while batch[-1][1].shape != shape:
        batch.pop()
    return batch


def crop(batch: list[Cut], x_t: Tensor, level: Level, condition: Condition) -> tuple[Tensor, Level, Condition]:
    """Return what the denoiser sees of a batch of (image, tile)."""

    def cut(image: Tensor) -> Tensor:
        return torch.stack([reflect_crop(image[i], tile.rows.seen, tile.columns.seen) for i, tile in batch])

    place = torch.tensor([(i, *tile.box) for i, tile in batch], dtype=torch.float64)
    place = place.to(x_t.device, non_blocking=True)  # or the host would wait until a GPU has done all before
    photo = place[:, 0].long()
    seen = condition.map(lambda whole: whole[photo], spatial=False).map(cut, spatial=True)
    return cut(x_t), level.map(lambda x: x[photo]), seen.replaced(box=place[:, 1:].float())


def add(done: Iterable[Done], totals: list[Tensor | None], like: Tensor) -> None:
    """Add the estimates of tiles to those of their images, field by field."""
    for batch, estimate in done:
        for k, tiles in enumerate(estimate):
            if tiles is not None:
                totals[k] = merge(batch, tiles, totals[k], like)


def merge(batch: list[Cut], tiles: Tensor, total: Tensor | None, like: Tensor) -> Tensor:
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
