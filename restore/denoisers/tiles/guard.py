"""The colour guard: large areas keep the colours of one coarse estimate of the whole image.

Patches are denoised without knowing of each other, so that their hues can drift apart. Here the low frequencies of
the merged estimate are drawn towards those of an estimate of the whole image, made small enough to be one tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers.tiles.engine import Capacity, Tiled
from restore.denoisers.tiles.spec import Tiles
from restore.denoisers.tiles.thumbnail import thumbnail

__all__ = ["Guarded", "in_tiles", "low_frequencies", "shrink"]

CELL = 16  # pixels of the coarse image that are averaged into one cell; finer than that, the tiles know better


def low_frequencies(image: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the (B, C, rows, columns) averages of the cells of an image, (B, C, H, W)."""
    return F.adaptive_avg_pool2d(image, cells)


def shrink(x_t: Tensor, level: Level, size: tuple[int, int], seeds: tuple[int, ...]) -> Tensor:
    """Return x_t, (B, C, H, W), in a smaller `size` and at the same noise level.

    The average of k pixels has a k-th of their noise's variance; the rest is drawn anew, from the seed and the level.
    """
    small = F.adaptive_avg_pool2d(x_t, size)
    rows, columns = (pixels_per_cell(*sides) for sides in zip(x_t.shape[-2:], size, strict=True))
    renewed = (1 - 1 / (rows[:, None] * columns)).sqrt().to(x_t)
    if level.share is None:
        amounts = (1 - level.alpha_bar).clamp(min=0).sqrt().tolist()
    else:
        amounts = [max(1 - level.share, 0.0) ** 0.5] * len(x_t)
    for i, (seed, t) in enumerate(zip(seeds or (0,) * len(x_t), level.numbers(), strict=True)):
        # a first word of its own keeps this stream apart from the sampler's noise and from shifted grids
        state = np.random.SeedSequence((1, seed, t)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) >> 1)
        small[i].addcmul_(torch.randn(small.shape[1:], generator=generator).to(small), renewed, value=amounts[i])
    return small


def pixels_per_cell(length: int, cells: int) -> Tensor:
    """Return how many pixels each cell of `adaptive_avg_pool` is the average of along an axis, (cells,).

    Where the lengths do not divide, cells overlap, and have more than their share.

    >>> pixels_per_cell(6, 4).tolist()
    [2, 2, 2, 2]
    """
    index = torch.arange(cells)
    return ((index + 1) * length + cells - 1) // cells - index * length // cells


@dataclass(frozen=True)
class Guarded:
    """A denoiser of images whose colours over large areas are those of a coarse estimate of the whole.

    Attributes:
        denoiser: denoises images of any size, in patches.
        coarse: the same, for one small image.
        tiles: how images are cut; `guard` is the strength, `size` the largest side of the coarse image.
        seeds: one per image; 0 for all where it is empty.
    """

    denoiser: Denoiser
    coarse: Denoiser
    tiles: Tiles
    seeds: tuple[int, ...] = ()

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate with its low frequencies corrected; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        height, width = x_t.shape[-2:]
        size = self.tiles.coarse_size(height, width)
        if size is None:
            return estimate
        if condition.thumbnail is None and condition.features is None and self.tiles.context:
            condition = condition.replaced(thumbnail=thumbnail(condition.image, self.tiles.context))
        seen = condition.map(lambda image: F.adaptive_avg_pool2d(image, size), spatial=True)
        whole = self.coarse(shrink(x_t, level, size, self.seeds), level, seen).x0
        cells = math.ceil(size[0] / CELL), math.ceil(size[1] / CELL)
        drift = low_frequencies(whole, cells) - low_frequencies(estimate.x0, cells)
        correction = F.interpolate(drift, (height, width), mode="bilinear", align_corners=False)
        return estimate._replace(x0=estimate.x0.add_(correction, alpha=self.tiles.guard))


def in_tiles(
    denoiser: Denoiser,
    tiles: Tiles,
    *,
    halo: int | None = None,
    seeds: tuple[int, ...] = (),
    device: torch.device | None = None,
    capacity: Capacity | None = None,
    on_tiles: Callable[[int], None] | None = None,
) -> Denoiser:
    """Return a denoiser of tiles as one of images, with the colour guard where `patches` enables it.

    Args:
        denoiser: denoises tiles.
        tiles: how to cut.
        halo: how far the network sees around a pixel; None for without bound.
        seeds: one per image, for all that is drawn inside: the places of shifted grids, the guard's noise.
        device: where tiles are denoised, if not where the images are.
        capacity: what is known of how many fit into its memory, to be kept from image to image.
        on_tiles: called with the number of tiles after each evaluation.
    """
    capacity = capacity or Capacity()
    whole = Tiled(denoiser, tiles, halo, seeds, device, capacity, on_tiles)
    if not tiles.guard:
        return whole
    coarse = Tiled(denoiser, tiles.coarse, device=device, capacity=capacity, on_tiles=on_tiles)
    return Guarded(whole, coarse, tiles, seeds)
