"""Patches: a denoiser for small squares becomes one for pictures of any size.

Estimates of overlapping tiles are averaged with weights that sum to one at every pixel. Averaging x_0 equals
averaging noise estimates as WeatherDiffusion does (algorithm 2), since the two are affine in each other at each
pixel, as long as clipping comes after the merge. So every sampler becomes patch-based without knowing it.
"""

from __future__ import annotations

from restore.patches.compiled import FixedBatch, compiled
from restore.patches.engine import Capacity, Patched
from restore.patches.grid import Span, Tile, batches, grid
from restore.patches.guard import Guarded
from restore.patches.spec import Grid, Patches
from restore.patches.stack import in_patches
from restore.patches.thumbnail import thumbnail
from restore.patches.windows import Window, axis_weights, window

__all__ = [
    "Capacity",
    "FixedBatch",
    "Grid",
    "Guarded",
    "Patched",
    "Patches",
    "Span",
    "Tile",
    "Window",
    "axis_weights",
    "batches",
    "compiled",
    "grid",
    "in_patches",
    "thumbnail",
    "window",
]
