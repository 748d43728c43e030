"""Patches: a denoiser for small squares becomes one for images of any size.

Estimates of overlapping tiles are averaged with weights that sum to one at every pixel. Averaging x_0 equals
averaging noise estimates as WeatherDiffusion does (algorithm 2), since the two are affine in each other at each
pixel, as long as clipping comes after the merge. So every sampler becomes patch-based without knowing it.
"""

from __future__ import annotations

from restore.denoisers.tiles.compiled import FixedBatch, compiled
from restore.denoisers.tiles.engine import Capacity, Tiled
from restore.denoisers.tiles.grid import Span, Tile, batches, grid
from restore.denoisers.tiles.guard import Guarded, in_tiles
from restore.denoisers.tiles.spec import Grid, Tiles
from restore.denoisers.tiles.thumbnail import thumbnail
from restore.denoisers.tiles.windows import WindowShape, axis_weights, window

__all__ = [
    "Capacity",
    "FixedBatch",
    "Grid",
    "Guarded",
    "Span",
    "Tile",
    "Tiled",
    "Tiles",
    "WindowShape",
    "axis_weights",
    "batches",
    "compiled",
    "grid",
    "in_tiles",
    "thumbnail",
    "window",
]
