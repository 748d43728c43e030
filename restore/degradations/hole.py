"""Lost pixels: an image with a hole, or cut off at its borders."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from restore.degradations.masks import Border, FreeForm, MaskSpec
from restore.degradations.random import Random, Share
from restore.schema import Spec

__all__ = ["Crop", "Hole"]

MID_GREY = 0.5


class Hole(Spec):
    """An image some of whose pixels are lost, mid-grey there.

    Attributes:
        area: share of the image that is lost, from and to.
        mask: its shape.
    """

    kind: Literal["hole"] = "hole"
    area: Share = (0.1, 0.4)
    mask: MaskSpec = FreeForm()

    def masks(self, random: Random, height: int, width: int, severity: float | Tensor | None = None) -> Tensor:
        """Return (B, 1, H, W), 1 where pixels are lost; a severity is a share of the largest area."""
        strength = random.host.severity(severity)
        low, high = self.area
        area = low + (high - low) * strength if severity is None else high * strength
        return self.mask(random, height, width, area)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] with the hole; severity 0 leaves it as it is."""
        return torch.where(self.masks(random, *clean.shape[-2:], severity) > 0.5, MID_GREY, clean)


class Crop(Hole):
    """An image whose borders are lost, mid-grey there: what is left of it is a crop.

    Attributes:
        area: share of the image that is lost, from and to.
        mask: which borders.
    """

    kind: Literal["crop"] = "crop"  # type: ignore[assignment]
    area: Share = (0.15, 0.5)
    mask: MaskSpec = Border()
