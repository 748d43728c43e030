"""Masks: a denoiser with known pixels, for inpainting and outpainting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.errors import ArrayError

__all__ = ["Masked"]


@dataclass(frozen=True)
class Masked:
    """A denoiser whose known pixels are pasted into every estimate.

    The result shows the known pixels exactly. With `clean_input`, the network also sees them without noise at every
    level: that is Palette's loop, which overwrites them after each step, for whatever a sampler does with the known
    pixels of x_t, they are not read again.

    Attributes:
        denoiser: fills the hole.
        known: (B, 3, H, W), the image; what it holds inside the hole is not used.
        hole: (B, 1, H, W) or (1, 1, H, W), true where pixels are to be filled.
        clean_input: whether the network was trained to see known pixels without noise.
    """

    denoiser: Denoiser
    known: Tensor
    hole: Tensor
    clean_input: bool = True

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate with the known pixels in it; see `Denoiser`.

        Raises:
            ArrayError: the image or the mask has another size than x_t.
        """
        if self.known.shape != x_t.shape or self.hole.shape[-2:] != x_t.shape[-2:]:
            raise ArrayError(
                f"known pixels {tuple(self.known.shape)} and mask {tuple(self.hole.shape)} must fit {tuple(x_t.shape)}"
            )
        hole, known = self.hole.to(x_t.device) > 0.5, self.known.to(x_t)
        estimate = self.denoiser(torch.where(hole, x_t, known) if self.clean_input else x_t, level, condition)
        gradient = None if estimate.gradient is None else estimate.gradient * hole
        return estimate._replace(x0=torch.where(hole, estimate.x0, known), gradient=gradient)
