"""JPEG compression by a real codec."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from restore.degradations.random import CountRange, Random
from restore.schema import Spec

__all__ = ["JPEG", "compress"]

MILDEST = 95  # the quality that a severity near 0 means


def compress(photo: Tensor, quality: int, subsampling: bool = True) -> Tensor:
    """Return a (3, H, W) image in [0, 1] after encoding and decoding (libjpeg through Pillow).

    Args:
        photo: on any device; rounded to 8 bits first.
        quality: 1 to 100, libjpeg's scale.
        subsampling: store the colours at half the resolution (4:2:0), as most cameras and programs do.
    """
    array = photo.detach().mul(255).round_().clamp_(0, 255).to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    file = BytesIO()
    halved = 2 if subsampling else 0
    Image.fromarray(np.ascontiguousarray(array)).save(file, "JPEG", quality=quality, subsampling=halved)
    with Image.open(file) as image:
        decoded = torch.from_numpy(np.array(image))
    return decoded.permute(2, 0, 1).to(photo).div_(255)


class JPEG(Spec):
    """An image stored as JPEG.

    Attributes:
        quality: from the worst to the best that is drawn; equal bounds fix it.
        subsampling: share of the images whose colours are stored at half the resolution.
    """

    kind: Literal["jpeg"] = "jpeg"
    quality: CountRange = (8, 60)
    subsampling: float = Field(1.0, ge=0, le=1)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] after compression.

        None draws the quality from its range, each doubling as often: from 10 to 20 an image changes more than from
        60 to 70. A severity goes from nothing at 0 over quality 95 to the worst at 1.
        """
        strength = random.host.severity(severity)
        halved = random.host.chance(self.subsampling).tolist()
        worst, best = self.quality
        top = max(MILDEST, best)
        levels = best * (worst / best) ** strength if severity is None else top + (worst - top) * strength
        levels = levels.round().long().tolist()
        result = clean.clone()
        for i, (quality, share) in enumerate(zip(levels, strength.tolist(), strict=True)):
            if share > 0 or severity is None:
                result[i] = compress(clean[i], min(quality, 100), halved[i])
        return result
