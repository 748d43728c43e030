"""Where the blocks of a JPEG file lie, in a picture that was cropped since."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level

__all__ = ["Aligned", "block_phase"]

BLOCK = 8
LINES = 512  # lines of a large picture, evenly spread, in which blocks are looked for: more tell nothing new
FEWEST = 12  # blocks in a row: of fewer, one place of eight stands out by chance
EDGE = 8 / 255  # four of 256 grey levels: what a step has in excess of that is an edge of the picture, not of a block
CLEAR = 5.0  # standard errors by which the best place must stand out


def block_phase(pictures: Tensor) -> Tensor:
    """Return (B, 2) int64 in 0..7: the first row and column at which a block of 8 x 8 pixels begins.

    Between blocks a picture steps more than beside them. Where no place stands out, blocks are too faint to matter,
    and are said to begin at 0 as in a file; so it is where a side is below 96 pixels. It is the brightness that is
    looked at: colours that were stored at half the resolution have blocks of 16, of which this knows the half.

    Args:
        pictures: (B, 3, H, W) in [-1, 1].
    """
    every = [max(1, side // LINES) for side in pictures.shape[-2:]]
    across = pictures[:, :3, :, :: every[1]].mean(1).transpose(1, 2)
    return torch.stack([_phase(across), _phase(pictures[:, :3, :: every[0]].mean(1))], dim=1)


def _phase(shade: Tensor) -> Tensor:
    """Return the (B,) first column at which blocks begin, of (B, H, W)."""
    width = shade.shape[-1]
    if width < FEWEST * BLOCK:
        return torch.zeros(len(shade), dtype=torch.int64, device=shade.device)
    step = shade.diff(dim=2).abs_()
    excess = (step[..., 1:-1] - (step[..., :-2] + step[..., 2:]) / 2).clamp_(-EDGE, EDGE).mean(1)
    # the excess at index i is of the step from column i + 1 to column i + 2, where a block may begin
    excess = F.pad(excess, (2, 0))[:, : (width - 1) // BLOCK * BLOCK]
    blocks = excess.unflatten(1, (-1, BLOCK))[:, 1:]
    place = blocks.mean(1).argmax(1)
    # beside an edge the excess is below zero: the steps there are compared with one that is large
    rest = torch.arange(2, BLOCK - 1, device=shade.device) + place[:, None]
    rest = blocks.gather(2, (rest % BLOCK)[:, None].expand(-1, blocks.shape[1], -1)).mean(2)
    lead = blocks.gather(2, place[:, None, None].expand(-1, blocks.shape[1], 1))[..., 0] - rest
    error = lead.std(1) / blocks.shape[1] ** 0.5
    return torch.where(lead.mean(1) > CLEAR * error, place, 0)


@dataclass(frozen=True)
class Aligned:
    """A denoiser that is shown each picture with its blocks where a file has them, at multiples of 8.

    A network that learned from files tells a block's edge by its place. What is missing above and to the left is
    filled with the nearest pixels, and cut off the estimate. A batch whose pictures differ in this is denoised once
    for each way, so that no picture depends on its neighbours.

    Attributes:
        denoiser: of whole pictures, of any size.
    """

    denoiser: Denoiser

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate; see `Denoiser`."""
        missing = -block_phase(condition.image) % BLOCK
        ways, way = missing.unique(dim=0, return_inverse=True)
        if len(ways) == 1:
            return self._moved(x_t, level, condition, *ways[0].tolist())
        found = [self._moved(x_t, level, condition, *rows_columns) for rows_columns in ways.tolist()]
        return Estimate(
            *(
                None if parts[0] is None else torch.stack([parts[k][i] for i, k in enumerate(way.tolist())])
                for parts in zip(*found, strict=True)
            )
        )

    def _moved(self, x_t: Tensor, level: Level, condition: Condition, rows: int, columns: int) -> Estimate:
        """Return the estimate of pictures that are shown with so many rows above and columns to the left more."""
        if not rows and not columns:
            return self.denoiser(x_t, level, condition)
        margin = (columns, 0, rows, 0)
        image = F.pad(condition.image, margin, mode="replicate")
        estimate = self.denoiser(F.pad(x_t, margin, mode="replicate"), level, condition.map(image=image))
        return Estimate(*(None if part is None else part[..., rows:, columns:] for part in estimate))
