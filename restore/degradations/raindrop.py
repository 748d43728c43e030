"""Raindrops on the lens or on the glass before it: small lenses that show the scene upside down and out of focus."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from restore.degradations.fields import Canvas, enlarge, scatter, size_factor, smooth_field, smoothstep
from restore.degradations.random import PositiveRange, Random, Range, Share
from restore.schema import Spec

__all__ = ["Raindrop"]


class _Water(NamedTuple):
    """Water on the glass, each (B, h, w).

    Attributes:
        height: about 1 in the middle of a drop.
        below: pixels from the middle of the drop downwards.
        aside: pixels from the middle of the drop to the right.
        radius: (B,), a typical one in pixels.
    """

    height: Tensor
    below: Tensor
    aside: Tensor
    radius: Tensor


class Raindrop(Spec):
    """Adherent drops: a random height field of water bends the view along its slope.

    A ray that meets the water is displaced along the slope (small-angle refraction). Across a bump the slope turns, so
    each drop shows the scene around it reduced and inverted; bumps that touch merge into irregular drops. Drops are
    close to the lens, hence their outlines and what they show are soft. All of it is smooth and made at half the
    image's resolution. Ranges are for severity 1 on an image of 256 pixels.

    Attributes:
        coverage: share of the image under drops of each of three sizes.
        diameter: of the smallest and the largest drops, in pixels.
        refraction: how many times smaller the scene appears inside a drop.
        opacity: of the drops at the heaviest.
        gain: brightness inside, relative to what is seen.
        ring: most that the rim gains or loses.
        shading: most that a drop's lower part gains, where it shows the sky, and its upper part loses.
        veil: the most light that the wet glass between the drops scatters.
        glare: the most airlight that a drop scatters into the camera.
    """

    kind: Literal["raindrop"] = "raindrop"
    coverage: PositiveRange = (0.12, 0.75)
    diameter: PositiveRange = (8.0, 64.0)
    refraction: PositiveRange = (2.0, 9.0)
    opacity: Share = (0.75, 1.0)
    gain: Range = (0.85, 1.3)
    ring: float = Field(default=0.15, ge=0.0, le=1.0)
    shading: float = Field(default=0.4, ge=0.0, le=1.0)
    veil: float = Field(default=0.2, ge=0.0, le=1.0)
    glare: float = Field(default=0.45, ge=0.0, le=1.0)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] seen through wet glass; severity 0 leaves it as it is."""
        host = random.host
        strength = host.severity(severity)
        height, width = clean.shape[-2:]
        shared = host.uniform(0.0, 0.5)
        share, fade = strength ** (1.0 - shared), strength**shared
        water = self._water(random, (height + 1) // 2, (width + 1) // 2, share)
        numbers = (
            host.within(self.refraction),
            host.uniform(0.2, 1.0),
            0.2 + host.uniform(0.2, 0.8),
            host.uniform(-0.5, 1.0) * self.ring * 4.0,
            host.within(self.gain),
            host.uniform(-0.2, 1.0) * self.shading,
            host.uniform(0.0, self.glare) * host.chance(0.6),
            host.uniform(0.7, 1.0),
            host.within(self.opacity) * fade,
            strength * host.uniform(0.0, self.veil) * host.chance(0.4),
            host.uniform(0.5, 0.9),
        )
        refraction, blur, *rest, air = random.send(*numbers)
        high, ring, gain, shading, glare, light, opacity, veil = (x[:, None, None] for x in rest)
        seen = _look(clean, water, refraction, blur)
        mask = smoothstep(water.height, 0.2, high)
        rim = (mask - mask.square()).mul_(ring)
        seen = seen.mul_(gain[:, None]).add_(rim[:, None])
        shade = (water.below / water.radius[:, None, None]).clamp_(-1.0, 1.0)
        seen = seen.add_(shade.mul_(shading)[:, None])
        seen = seen.lerp_(light[:, None].expand_as(seen), glare[:, None]).clamp_(0.0, 1.0)
        alpha = mask.mul_(opacity)
        layer = enlarge(torch.cat([seen, alpha[:, None]], dim=1), height, width)
        return scatter(clean, 1.0 - veil, air[:, None].expand(-1, 3)).lerp_(layer[:, :3], layer[:, 3:])

    def _water(self, random: Random, height: int, width: int, share: Tensor) -> _Water:
        """Return the water on a (B, height, width) grid of half the image's resolution."""
        canvas, host = Canvas(height, width, random.device), random.host
        scale = size_factor(random, 2 * height, 2 * width) / 2.0
        ratio = self.diameter[1] / self.diameter[0]
        surface, lens = canvas.blank(len(random)), canvas.blank(len(random))
        radius = torch.full((len(random),), 1.0)
        for step, chance in enumerate((0.75, 1.0, 0.6)):
            present = host.chance(chance)
            diameter = self.diameter[0] * ratio ** ((step + host.uniform()) / 3.0) * scale
            density = host.log_within(self.coverage) * present / (0.8 * diameter**2 + 1.0)
            sigma = diameter / 3.4
            points = canvas.impulses(random, density, share, host.uniform(0.8, 0.97), apart=True)
            length = sigma * host.uniform(0.05, 1.5)
            points.mul_(canvas.motion(host.normal() * 0.4, length, sigma))
            surface += points
            # The slope of a Gaussian bump times sigma^2, over its height, is the way back to its middle.
            lens.addcmul_(points, random.send(sigma.square())[0][:, None, None])
            radius = torch.maximum(radius, 0.5 * diameter * present)
        rough = smooth_field(random, max(2, max(height, width) // 7), height, width).mul_(0.12).add_(1.0)
        slope_y, slope_x = canvas.gradient(lens)
        height_field = canvas.paint(surface)
        below, aside = -slope_y / (height_field + 0.1), -slope_x / (height_field + 0.1)
        return _Water(height_field.mul_(rough), below, aside, *random.send(radius))


def _look(clean: Tensor, water: _Water, refraction: Tensor, blur: Tensor) -> Tensor:
    """Return (B, 3, h, w): the scene out of focus as the water shows it, mirrored at the image's border.

    Args:
        clean: (B, 3, H, W).
        water: on the (h, w) grid.
        refraction: (B,), a pixel so many below a drop's middle shows what is that many times further above.
        blur: (B,) in [0, 1], from a quarter to a sixteenth of the resolution.
    """
    height, width = water.height.shape[-2:]
    sharp = _shrink(clean)
    soft = enlarge(_shrink(sharp), *sharp.shape[-2:])
    scene = torch.lerp(sharp, soft, blur[:, None, None, None])
    bend = (1.0 + refraction)[:, None, None]
    y = ((torch.arange(height, device=clean.device) + 0.5)[:, None] - bend * water.below) * (2.0 / height) - 1.0
    x = ((torch.arange(width, device=clean.device) + 0.5) - bend * water.aside) * (2.0 / width) - 1.0
    grid = torch.stack([x, y], dim=-1)
    return functional.grid_sample(scene, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _shrink(image: Tensor) -> Tensor:
    """Return the means of 4 x 4 blocks, of smaller ones at the lower and right borders."""
    return functional.avg_pool2d(image, 4, ceil_mode=True)
