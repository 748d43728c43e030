"""Lost colours."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from restore.degradations.random import Random
from restore.images import values
from restore.schema import Spec

__all__ = ["Grayscale", "luma"]


def luma(image: Tensor) -> Tensor:
    """Return the Rec. 601 luma of (B, 3, H, W) as three equal channels."""
    return values.rec601(image.movedim(1, 0))[:, None].expand_as(image).contiguous()


class Grayscale(Spec):
    """An image that has lost its colours; nothing of it is random, None means all of them."""

    kind: Literal["grayscale"] = "grayscale"

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1], paler for a higher severity, gray at 1 or None."""
        (strength,) = random.send(random.host.severity(severity))
        if severity is None:
            return luma(clean)
        return torch.lerp(clean, luma(clean), strength[:, None, None, None])
