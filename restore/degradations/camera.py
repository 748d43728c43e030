"""What the camera adds after the weather: a little sensor noise, now and then a mild compression."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from restore.degradations.random import PositiveShare, Random, Share
from restore.schema import Spec

__all__ = ["Camera"]


@lru_cache(maxsize=4)
def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal 8 x 8 matrix of the discrete cosine transform that JPEG uses."""
    k = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * k + 1) * k[:, None] / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(torch.float32).to(device)


class Camera(Spec):
    """Rare and mild camera effects.

    Attributes:
        noise_chance: share of images with sensor noise.
        noise: its standard deviation.
        compression_chance: share of images with rounded 8 x 8 cosine coefficients, as JPEG has them.
        compression: the rounding step of the lowest frequencies; the highest are rounded four times as coarsely.
    """

    noise_chance: float = Field(default=0.1, ge=0.0, le=1.0)
    noise: Share = (0.001, 0.01)
    compression_chance: float = Field(default=0.05, ge=0.0, le=1.0)
    compression: PositiveShare = (0.01, 0.05)

    def __call__(self, image: Tensor, random: Random) -> Tensor:
        """Return `image` (B, 3, H, W) in [0, 1] as this camera records it; most images stay as they are."""
        host = random.host
        noisy, coarse = host.chance(self.noise_chance), host.chance(self.compression_chance)
        sigma, step = host.within(self.noise), host.within(self.compression)
        result = image.clone()
        for affected, effect, amount in ((noisy, self._noise, sigma), (coarse, self._compress, step)):
            index = affected.nonzero()[:, 0]
            if len(index):
                part = random.subset(index.tolist())
                place, some = random.send(index, amount[index])
                result[place] = effect(result[place], part, some[:, None, None, None]).clamp(0.0, 1.0)
        return result

    @staticmethod
    def _noise(image: Tensor, random: Random, sigma: Tensor) -> Tensor:
        return image + sigma * random.normal(tuple(image.shape[1:]))

    @staticmethod
    def _compress(image: Tensor, random: Random, step: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % 8, 0, -height % 8), mode="replicate")
        blocks = padded.unflatten(2, (-1, 8)).unflatten(4, (-1, 8)).transpose(3, 4)
        cosines = _cosines(image.device)
        order = torch.arange(8, device=image.device)
        table = step[..., None, None] * (1.0 + 3.0 * (order[:, None] + order) / 14.0)
        rounded = (cosines @ blocks @ cosines.T / table).round() * table
        restored = (cosines.T @ rounded @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)
        return restored[..., :height, :width]
