"""Gaussian blur of a batch, one width for each picture and direction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_blur"]


def gaussian_blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Return (B, C, H, W) blurred; the picture is continued by its edge pixels.

    Args:
        image: any range of values.
        sigma: (B, 2) standard deviation in pixels, down and across; 0 leaves a direction as it is.
    """
    b, c, height, width = image.shape
    radius = max(1, int(float(sigma.max()) * 3 + 0.5))
    place = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place / sigma[..., None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(c, 0)
    flat = image.reshape(1, b * c, height, width)
    down, across = kernel[:, 0], kernel[:, 1]
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), "replicate"), down[:, None, :, None], groups=b * c)
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), "replicate"), across[:, None, None, :], groups=b * c)
    return flat.view(b, c, height, width)
