"""Gaussian blur of a batch, one width for each image and direction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.system.transfer import send

__all__ = ["gaussian_blur"]


def gaussian_blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Return (B, C, H, W) blurred; the image is continued by its edge pixels.

    Args:
        image: any range of values.
        sigma: (B, 2) standard deviation in pixels, down and across, on the CPU; 0 leaves a direction as it is.
    """
    radius = max(1, int(float(sigma.max()) * 3 + 0.5)) if len(sigma) else 1
    place = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    (sigma,) = send(image.device, sigma)
    kernel = torch.exp(-0.5 * (place / sigma[..., None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(-1, keepdim=True))[..., None, None, None]
    for dim, border in ((0, (0, 0, radius, radius)), (1, (radius, radius, 0, 0))):
        wide, length = F.pad(image, border, "replicate"), image.shape[dim + 2]
        # shifted copies, not a convolution: a few narrow kernels are what libraries are slowest at
        image = wide.narrow(dim + 2, 0, length) * kernel[:, dim, 0]
        for k in range(1, 2 * radius + 1):
            image.addcmul_(wide.narrow(dim + 2, k, length), kernel[:, dim, k])
    return image
