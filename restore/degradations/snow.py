"""Snow: flakes of all distances, from a dust of far ones to large soft ones before the lens."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.degradations.fields import Canvas, blend, enlarge, scatter, size_factor, smooth_field, smoothstep
from restore.degradations.random import PositiveRange, Random, Share
from restore.schema import Spec

__all__ = ["Snow"]


class Snow(Spec):
    """Falling snow: dust, small, medium and large flakes, semi-transparent, blurred by motion and by defocus.

    Dust and small flakes are blurred points. Larger ones vary in size because a soft threshold cuts bumps of different
    height, and noise makes their outlines irregular. Ranges are for severity 1 on an image of 256 pixels.

    Attributes:
        dust: share of the image covered by far flakes of about a pixel.
        small: share covered by small flakes.
        large: share covered by each of the two large classes.
        diameter: of the smallest and of the largest flakes, in pixels.
        opacity: of the flakes at the heaviest.
        brightness: of the flakes.
        motion: streak length in flake diameters.
        veil: the most that the transmission drops for far snow.
    """

    kind: Literal["snow"] = "snow"
    dust: PositiveRange = (0.3, 1.6)
    small: PositiveRange = (0.2, 0.8)
    large: PositiveRange = (0.03, 0.2)
    diameter: PositiveRange = (1.1, 26.0)
    opacity: Share = (0.75, 1.0)
    brightness: Share = (0.75, 1.0)
    motion: PositiveRange = (0.05, 4.0)
    veil: float = Field(default=0.4, ge=0.0, le=1.0)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] in falling snow; severity 0 leaves it as it is."""
        host = random.host
        strength = host.severity(severity)
        height, width = clean.shape[-2:]
        # As in rain, light snow is few flakes or faint flakes.
        shared = host.uniform(0.0, 0.7)
        share, fade = strength ** (1.0 - shared), strength**shared
        flakes = self._flakes(random, height, width, share)
        opacity = host.within(self.opacity) * fade
        colour = host.within(self.brightness)[:, None] * (1.0 + 0.02 * host.normal((3,)))
        colour = colour.clamp(0.0, 1.0)
        keep = torch.where(host.chance(0.3)[:, None], colour, 1.0)
        veil = strength * host.uniform(0.0, self.veil) * host.chance(0.4)
        air = colour * host.uniform(0.8, 1.0)[:, None]
        opacity, colour, keep, veil, air = random.send(opacity, colour, keep, veil, air)
        amount = flakes.mul_(opacity[:, None, None])
        scene = scatter(clean, (1.0 - veil)[:, None, None], air)
        return blend(scene, amount, colour, keep).clamp_(0.0, 1.0)

    def _flakes(self, random: Random, height: int, width: int, share: Tensor) -> Tensor:
        """Return (B, H, W) opacities in [0, 1] of all flakes, the classes one over the other."""
        scale = size_factor(random, height, width)
        speed = random.host.log_within(self.motion)
        fall = random.host.normal() * 0.6
        near = enlarge(
            self._near(random, (height + 1) // 2, (width + 1) // 2, share, scale, speed, fall), height, width
        )
        far = self._far(random, height, width, share, scale, speed, fall)
        return 1.0 - far.neg_().add_(1.0).mul_(near[:, 0].neg_().add_(1.0))

    def _size(self, random: Random, step: int) -> Tensor:
        """Return (B,) diameters in the given quarter of the (logarithmic) range."""
        return self.diameter[0] * (self.diameter[1] / self.diameter[0]) ** ((step + random.host.uniform()) / 4.0)

    def _far(
        self, random: Random, height: int, width: int, share: Tensor, scale: Tensor, speed: Tensor, fall: Tensor
    ) -> Tensor:
        """Return (B, H, W) opacities of dust and small flakes; their spectra are summed before the one inverse."""
        canvas, host = Canvas(height, width, random.device), random.host
        total = canvas.blank(len(random))
        for step, (coverage, chance) in enumerate(((self.dust, 0.7), (self.small, 0.95))):
            diameter = self._size(random, step) * scale
            length = (diameter * speed * host.uniform(0.5, 1.0)).clamp(min=0.05)
            density = host.log_within(coverage) * host.chance(chance) / (diameter * (diameter + length) + 1.0)
            points = canvas.impulses(random, density, share, host.uniform(0.35, 0.8))
            kernel = canvas.motion(fall + 0.15 * host.normal(), length, diameter / 2.355)
            total.add_(points.mul_(kernel.mul_(random.uniform(0.4, 1.3)[:, None, None])))
        gusts = smoothstep(smooth_field(random, 3, height, width), -2.0, 1.0)
        gusts = torch.where(random.chance(0.4)[:, None, None], gusts, 1.0)
        return canvas.paint(total).mul_(gusts).clamp_(max=1.0)

    def _near(
        self, random: Random, height: int, width: int, share: Tensor, scale: Tensor, speed: Tensor, fall: Tensor
    ) -> Tensor:
        """Return (B, 1, h, w) opacities of medium and large flakes at half the image's resolution."""
        canvas, host = Canvas(height, width, random.device), random.host
        clear = torch.ones(len(random), height, width, device=random.device)
        grain = smooth_field(random, max(2, max(height, width) // 3), height, width).mul_(0.18).add_(1.0)
        for step, chance in ((2, 0.85), (3, 0.5)):
            diameter = self._size(random, step) * scale / 2.0
            length = (diameter * speed.clamp(max=2.0) * host.uniform(0.3, 1.0)).clamp(min=0.05)
            density = host.log_within(self.large) * host.chance(chance) / (diameter * (diameter + length) + 1.0)
            points = canvas.impulses(random, density, share, host.uniform(0.5, 0.85))
            kernel = canvas.motion(fall + 0.2 * host.normal(), length, diameter / 2.8)
            bumps = canvas.paint(points.mul_(kernel)).mul_(grain)
            numbers = random.send(host.uniform(0.1, 0.8), host.uniform(0.3, 1.0))
            soft, opaque = (x[:, None, None] for x in numbers)
            clear.mul_(smoothstep(bumps, 0.22, 0.22 + soft).mul_(opaque).neg_().add_(1.0))
        return clear.neg_().add_(1.0)[:, None]
