"""Lost resolution: the image made small, and enlarged again to the size that it had."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.degradations.blur import gaussian_blur
from restore.degradations.jpeg import JPEG
from restore.degradations.noise import SensorNoise
from restore.degradations.random import CountRange, Random, Range, Share
from restore.degradations.resampling import Kernel, resize
from restore.schema import Spec

__all__ = ["BlindResolution", "Resolution", "enlarge_by", "shrink_by"]


def smaller(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return a size `scale` times smaller, rounded up."""
    return max(1, math.ceil(height / scale - 1e-9)), max(1, math.ceil(width / scale - 1e-9))


def shrink_by(image: Tensor, scale: float, kernel: Kernel = "bicubic") -> Tensor:
    """Return (..., H, W) in [0, 1] made `scale` times smaller (sizes rounded up), rounded to the 8 bits of a file."""
    size = smaller(image.shape[-2], image.shape[-1], scale)
    return resize(image, size, 1 / scale, kernel).clamp_(0, 1).mul_(255).round_().div_(255)


def enlarge_by(image: Tensor, scale: float, size: tuple[int, int] | None = None, kernel: Kernel = "bicubic") -> Tensor:
    """Return (..., h, w) in [0, 1] made `scale` times larger; `size` cuts off what a rounded-up size has too much."""
    height, width = size or (round(image.shape[-2] * scale), round(image.shape[-1] * scale))
    return resize(image, (height, width), scale, kernel).clamp_(0, 1)


class Resolution(Spec):
    """The image at a lower resolution, as the benchmarks make it: bicubic, antialiased, 8 bits, enlarged again.

    Attributes:
        scale: how many times smaller.
        kernel: what makes the image small and large.
    """

    kind: Literal["resolution"] = "resolution"
    scale: int = Field(4, ge=2, le=32)
    kernel: Kernel = "bicubic"

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] with its details lost.

        Nothing here is random: None means the full factor. A severity s means the factor `scale ** s`.
        """
        strength = random.host.severity(severity)
        if severity is None:
            strength = torch.ones_like(strength)
        result = clean.clone()
        for value in strength.unique().tolist():
            (index,) = random.send((strength == value).nonzero()[:, 0])
            if value > 0:
                result[index] = self.at(clean[index], self.scale if value == 1 else self.scale**value)
        return result

    def at(self, clean: Tensor, scale: float) -> Tensor:
        """Return `clean` made `scale` times smaller and enlarged to its own size."""
        size = (clean.shape[-2], clean.shape[-1])
        return enlarge_by(shrink_by(clean, scale, self.kernel), scale, size, self.kernel)


class BlindResolution(Spec):
    """Lost resolution as photographs from anywhere show it: blur, noise, compression and resizing in any order.

    After the idea of Zhang et al. 2021 (BSRGAN, section 3): the order of the four is drawn, a second resizing brings
    the image to the low resolution, a last compression stores it.

    Attributes:
        scale: how many times smaller.
        blur: standard deviation in pixels of the high resolution for a scale of 4; others have more or less of it.
        noise: standard deviation, as a share of the range.
        quality: of the compression, from bad to good.
    """

    kind: Literal["blind-resolution"] = "blind-resolution"
    scale: int = Field(4, ge=2, le=32)
    blur: Range = (0.2, 3.0)
    noise: Share = (0.0, 0.06)
    quality: CountRange = (40, 95)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] degraded, in its own size; severity 0 leaves it as it is.

        None means the full factor, with the rest as it is drawn. A severity s means the factor `scale ** s`, too.
        """
        strength = random.host.severity(severity)
        size, result = (clean.shape[-2], clean.shape[-1]), clean.clone()
        for i, value in enumerate(strength.tolist()):
            if value > 0 or severity is None:
                scale = self.scale if severity is None else self.scale**value
                low = self.one(clean[i : i + 1], random.subset([i]), value, scale)
                result[i : i + 1] = resize(low, size).clamp_(0, 1)
        return result

    def small(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] degraded and `scale` times smaller (sizes rounded up), in 8-bit values.

        Enlarged again, it is what `__call__` returns for the same seeds, but that here the factor is the full one
        whatever the severity.
        """
        strength = random.host.severity(severity).tolist()
        low = [self.one(clean[i : i + 1], random.subset([i]), s, self.scale) for i, s in enumerate(strength)]
        return torch.cat(low).mul_(255).round_().div_(255)

    def one(self, image: Tensor, random: Random, strength: float, scale: float) -> Tensor:
        """Return one (1, 3, H, W) image degraded and `scale` times smaller; less strength is less of all else."""
        height, width = image.shape[-2:]
        share = float(random.host.uniform(0.0, 1.0))
        sigma = random.host.within(self.blur, (2,)) * strength * self.scale / 4
        jpeg = JPEG(quality=self.quality)
        operations = {
            # where the image was made smaller before, so is the blur
            "blur": lambda x: gaussian_blur(x, sigma * (x.shape[-2] / height)),
            "noise": lambda x: SensorNoise(sigma=self.noise, shot=0.0)(x, random, strength),
            "jpeg": lambda x: jpeg(x, random, strength),
            # by the ratio of the sizes, so that rounding them moves nothing
            "resize": lambda x: resize(x, smaller(height, width, scale**share)),
        }
        order = random.host.uniform(shape=(len(operations),))[0].argsort().tolist()
        names = list(operations)
        for place in order:
            image = operations[names[place]](image).clamp(0, 1)
        return jpeg(resize(image, smaller(height, width, scale)).clamp_(0, 1), random, strength)
