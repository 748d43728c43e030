"""The thumbnail: what every tile is shown of the whole picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["thumbnail"]


def thumbnail(image: Tensor, size: int = 32) -> Tensor:
    """Return the area average of a batch of pictures, (B, C, size, size), of (B, C, H, W)."""
    return F.adaptive_avg_pool2d(image, size)
