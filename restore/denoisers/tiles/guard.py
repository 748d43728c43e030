"""The colour guard: large areas keep the colours of one coarse look at the whole picture.

Patches are denoised without knowing of each other, so that their hues can drift apart. Here the low frequencies of
the merged estimate are drawn towards those of an estimate of the whole picture, made small enough to be one tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers.tiles.spec import Patches
from restore.denoisers.tiles.thumbnail import thumbnail

__all__ = ["Guarded", "low_frequencies", "shrink"]

CELL = 16  # pixels of the coarse picture that are averaged into one cell; finer than that, the patches know better


def low_frequencies(image: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the (B, C, rows, columns) averages of the cells of an image, (B, C, H, W)."""
    return F.adaptive_avg_pool2d(image, cells)


def shrink(x_t: Tensor, level: Level, size: tuple[int, int], seeds: tuple[int, ...]) -> Tensor:
    """Return x_t, (B, C, H, W), in a smaller `size` and at the same noise level.

    The average of k pixels has a k-th of their noise's variance; the rest is drawn anew, from the seed and the level.
    """
    small = F.adaptive_avg_pool2d(x_t, size)
    rows, columns = (averaged(*sides) for sides in zip(x_t.shape[-2:], size, strict=True))
    renewed = (1 - 1 / (rows[:, None] * columns)).sqrt().to(x_t)
    amounts = (1 - level.alpha_bar).clamp(min=0).sqrt().tolist()
    for i, (seed, t) in enumerate(zip(seeds or (0,) * len(x_t), level.t.tolist(), strict=True)):
        # a first word of its own keeps this stream apart from the sampler's noise and from shifted grids
        state = np.random.SeedSequence((1, seed, t)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) >> 1)
        small[i].addcmul_(torch.randn(small.shape[1:], generator=generator).to(small), renewed, value=amounts[i])
    return small


def averaged(length: int, cells: int) -> Tensor:
    """Return how many pixels each cell of `adaptive_avg_pool` is the average of along an axis, (cells,).

    Where the lengths do not divide, cells overlap, and have more than their share.

    >>> averaged(6, 4).tolist()
    [2, 2, 2, 2]
    """
    index = torch.arange(cells)
    return ((index + 1) * length + cells - 1) // cells - index * length // cells


@dataclass(frozen=True)
class Guarded:
    """A denoiser of pictures whose colours over large areas are those of a coarse look at the whole.

    Attributes:
        denoiser: denoises pictures of any size, in patches.
        coarse: the same, for one small picture.
        patches: how pictures are cut; `guard` is the strength, `size` the largest side of the coarse picture.
        seeds: one per picture; 0 for all where it is empty.
    """

    denoiser: Denoiser
    coarse: Denoiser
    patches: Patches
    seeds: tuple[int, ...] = ()

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate with its low frequencies corrected; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        height, width = x_t.shape[-2:]
        size = self.patches.coarse_size(height, width)
        if size is None:
            return estimate
        context = condition.context
        if context is None and self.patches.context:
            context = thumbnail(condition.image, self.patches.context)
        seen = condition.map(image=F.adaptive_avg_pool2d(condition.image, size), context=context)
        whole = self.coarse(shrink(x_t, level, size, self.seeds), level, seen).x0
        cells = math.ceil(size[0] / CELL), math.ceil(size[1] / CELL)
        drift = low_frequencies(whole, cells) - low_frequencies(estimate.x0, cells)
        correction = F.interpolate(drift, (height, width), mode="bilinear", align_corners=False)
        return estimate._replace(x0=estimate.x0.add_(correction, alpha=self.patches.guard))
