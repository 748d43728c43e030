"""Where the blocks of a JPEG file lie, in a picture that was cropped since."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level

__all__ = ["Aligned", "block_phase"]

BLOCK = 8
EDGE = 8 / 255  # steps above it are the picture's own, whatever lies beneath
CLEAR = 5.0  # standard errors by which the best place must stand out


def block_phase(pictures: Tensor) -> Tensor:
    """Return (B, 2) int64 in 0..7: the first row and column at which a block of 8 x 8 pixels begins.

    Between blocks a picture steps more than beside them. Where no place stands out, blocks are too faint to matter,
    and are said to begin at 0 as in a file.

    Args:
        pictures: (B, 3, H, W) in [-1, 1].
    """
    shade = pictures[:, :3].mean(1)
    return torch.stack([_phase(shade.transpose(1, 2)), _phase(shade)], dim=1)


def _phase(shade: Tensor) -> Tensor:
    """Return the (B,) first column at which blocks begin, of (B, H, W)."""
    width = shade.shape[-1]
    if width < 4 * BLOCK:
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
    filled with the nearest pixels, and cut off the estimate.

    Attributes:
        denoiser: of whole pictures, of any size.
    """

    denoiser: Denoiser

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate; see `Denoiser`."""
        missing = -block_phase(condition.image) % BLOCK
        if not bool(missing.any()):
            return self.denoiser(x_t, level, condition)
        size = [side + int(most) for side, most in zip(x_t.shape[-2:], missing.amax(0), strict=True)]
        x_t, image = (_moved(x, -missing, size) for x in (x_t, condition.image))
        estimate = self.denoiser(x_t, level, condition.map(image=image))
        size = [side - int(most) for side, most in zip(size, missing.amax(0), strict=True)]
        return Estimate(*(None if x is None else _moved(x, missing, size) for x in estimate))


def _moved(x: Tensor, start: Tensor, size: list[int]) -> Tensor:
    """Return the (B, C, *size) parts of (B, C, H, W) that begin at `start`, (B, 2); beyond the border, the nearest."""
    for dim, length in ((2, size[0]), (3, size[1])):
        index = start[:, dim - 2, None] + torch.arange(length, device=x.device)
        index = index.clamp(0, x.shape[dim] - 1)[:, None]
        shape = list(x.shape)
        shape[dim] = length
        x = x.gather(dim, (index[..., None] if dim == 2 else index[:, :, None]).expand(shape))
    return x
