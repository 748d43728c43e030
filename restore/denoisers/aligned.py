"""Where the blocks of a JPEG file lie, in an image that was cropped since."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level

__all__ = ["Aligned", "block_phase"]

JPEG_BLOCK = 8
LINES = 512  # lines of a large image, evenly spread, in which blocks are searched for: more add no information
FEWEST = 12  # blocks in a row: of fewer, one place of eight stands out by chance
LARGEST_STEP = (
    8 / 255
)  # four of 256 grey levels: what a step has in excess of that is an edge of the image, not of a block
CLEAR = 5.0  # standard errors by which the best place must stand out


def block_phase(images: Tensor) -> Tensor:
    """Return (B, 2) int64 in 0..7: the first row and column at which a block of 8 x 8 pixels begins.

    Between blocks an image steps more than beside them. Where no place stands out, blocks are too faint to matter,
    and are said to begin at 0 as in a file; so it is where a side is below 96 pixels. Only the brightness is
    used: chroma that was stored at half the resolution has blocks of 16, whose phase modulo 8 is found here.

    Args:
        images: (B, 3, H, W) in [-1, 1].
    """
    every = [max(1, side // LINES) for side in images.shape[-2:]]
    across = images[:, :3, :, :: every[1]].mean(1).transpose(1, 2)
    return torch.stack([_phase(across), _phase(images[:, :3, :: every[0]].mean(1))], dim=1)


def _phase(shade: Tensor) -> Tensor:
    """Return the (B,) first column at which blocks begin, of (B, H, W)."""
    width = shade.shape[-1]
    if width < FEWEST * JPEG_BLOCK:
        return torch.zeros(len(shade), dtype=torch.int64, device=shade.device)
    step = shade.diff(dim=2).abs_()
    excess = (step[..., 1:-1] - (step[..., :-2] + step[..., 2:]) / 2).clamp_(-LARGEST_STEP, LARGEST_STEP).mean(1)
    # the excess at index i is of the step from column i + 1 to column i + 2, where a block may begin
    excess = F.pad(excess, (2, 0))[:, : (width - 1) // JPEG_BLOCK * JPEG_BLOCK]
    blocks = excess.unflatten(1, (-1, JPEG_BLOCK))[:, 1:]
    place = blocks.mean(1).argmax(1)
    # beside an edge the excess is below zero: the steps there are compared with one that is large
    rest = torch.arange(2, JPEG_BLOCK - 1, device=shade.device) + place[:, None]
    rest = blocks.gather(2, (rest % JPEG_BLOCK)[:, None].expand(-1, blocks.shape[1], -1)).mean(2)
    lead = blocks.gather(2, place[:, None, None].expand(-1, blocks.shape[1], 1))[..., 0] - rest
    error = lead.std(1) / blocks.shape[1] ** 0.5
    return torch.where(lead.mean(1) > CLEAR * error, place, 0)


Margin = tuple[int, int, int, int]
"""Pixels that are added left, right, above and below."""


def with_margin(condition: Condition, margin: Margin) -> Condition:
    """Return a condition whose spatial fields are continued by their edges."""
    return condition.map(lambda x: F.pad(x, margin, mode="replicate"), spatial=True)


@dataclass
class Aligned:
    """A denoiser whose network gets each image as its file had it: in whole blocks that begin at multiples of 8.

    A network that learned from files knows a block's edge by its place, in any orientation of the image. What is
    missing around is filled with the nearest pixels, as encoders do, and cut off the estimate. A batch whose images
    differ in this is denoised once for each way, so that no image depends on its neighbours.

    Attributes:
        denoiser: of whole images, of any size.
    """

    denoiser: Denoiser
    _seen: Condition | None = field(default=None, init=False, repr=False)
    _ways: list[tuple[Margin, Condition]] = field(default_factory=list, init=False, repr=False)
    _way: list[int] = field(default_factory=list, init=False, repr=False)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate; see `Denoiser`."""
        if self._seen is not condition:  # a sampler gives the same condition at every step
            self._find(condition)
        found = [self._moved(x_t, level, *way) for way in self._ways]
        if len(found) == 1:
            return found[0]
        return Estimate(
            *(
                None if parts[0] is None else torch.stack([parts[k][i] for i, k in enumerate(self._way)])
                for parts in zip(*found, strict=True)
            )
        )

    def _find(self, condition: Condition) -> None:
        """Find out what the images of a condition lack around them, and keep it with that."""
        height, width = condition.image.shape[-2:]
        missing, way = (-block_phase(condition.image) % JPEG_BLOCK).unique(dim=0, return_inverse=True)
        self._seen, self._ways, self._way = condition, [], way.tolist()
        for rows, columns in missing.tolist():
            margin = (columns, -(width + columns) % JPEG_BLOCK, rows, -(height + rows) % JPEG_BLOCK)
            self._ways.append((margin, with_margin(condition, margin) if any(margin) else condition))

    def _moved(self, x_t: Tensor, level: Level, margin: Margin, condition: Condition) -> Estimate:
        """Return the estimate for a condition that has a margin."""
        if not any(margin):
            return self.denoiser(x_t, level, condition)
        left, _, top, _ = margin
        height, width = x_t.shape[-2:]
        estimate = self.denoiser(F.pad(x_t, margin, mode="replicate"), level, condition)
        return Estimate(
            *(None if part is None else part[..., top : top + height, left : left + width] for part in estimate)
        )
