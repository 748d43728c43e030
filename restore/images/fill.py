"""A first guess for lost pixels: colours that flow in from what is known around them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["flow_in"]


def flow_in(image: Tensor, hole: Tensor) -> Tensor:
    """Return (B, C, H, W) with smooth colours in the hole, by averages of ever larger blocks (pull-push).

    After Gortler et al. 1996, section 3.2.3. Known pixels stay as they are; an image without any becomes 0.

    Args:
        image: any range of values; what it holds inside the hole is not used.
        hole: (B, 1, H, W), above 0.5 where pixels are lost.
    """
    known = (hole <= 0.5).to(image)
    colour, levels = torch.where(known > 0, image, 0), []
    while max(colour.shape[-2:]) > 1 and not bool(known.all()):
        levels.append((colour, known))
        share = F.avg_pool2d(known, 2, ceil_mode=True)
        colour = F.avg_pool2d(colour * known, 2, ceil_mode=True) / share.clamp(min=0.2)
        known = (share > 0).to(image)
    for finer, there in reversed(levels):
        guess = F.interpolate(colour, finer.shape[-2:], mode="bilinear", align_corners=False)
        colour = torch.where(there > 0, finer, guess)
    return colour
