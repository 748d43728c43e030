"""Haze and fog: light lost and airlight gained on the way from the scene, after the atmospheric scattering model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from restore import images
from restore.degradations.fields import per_pixel, scatter, smooth_field
from restore.degradations.random import PositiveShare, Random, Share
from restore.schema import Spec

__all__ = ["Haze", "Medium"]


class Medium(NamedTuple):
    """Optical properties of the air, per pixel.

    Attributes:
        transmission: (B, 3, H, W) in (0, 1].
        airlight: (B, 3) in [0, 1].
    """

    transmission: Tensor
    airlight: Tensor


class Haze(Spec):
    """Haze `I = J t + A (1 - t)` with `t = exp(-beta d)` over a random smooth depth d whose mean is one.

    The severity s sets the transmission at the mean depth to `1 - s (1 - transmission)`, so s = 0 is clear air.

    Attributes:
        transmission: at the mean depth and severity 1.
        airlight: brightness of the air.
        tint: standard deviation of the airlight's colour per channel.
        relief: how far the depth departs from a constant; 0 is a flat scene.
        depth: an image of the scene's depth, bright for far away, instead of a random one; stretched to the size.
    """

    kind: Literal["haze"] = "haze"
    transmission: PositiveShare = (0.15, 0.4)
    airlight: Share = (0.55, 1.0)
    tint: float = Field(default=0.025, ge=0.0, le=0.3)
    relief: Share = (0.2, 1.0)
    depth: Path | None = None

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] behind haze; severity 0 leaves it as it is."""
        strength = random.host.severity(severity)
        return scatter(clean, *self.medium(random, strength, *clean.shape[-2:])).clamp_(0.0, 1.0)

    def medium(self, random: Random, strength: Tensor, height: int, width: int) -> Medium:
        """Return transmission and airlight for a (B, height, width) batch at severities `strength` (B,)."""
        depth = self._depth(random, height, width) if self.depth is None else self._given(random, height, width)
        host = random.host
        level = 1.0 - strength * (1.0 - host.within(self.transmission))
        beta = -level.log()
        # Short wavelengths scatter a little more: distant things turn bluish.
        colour = 1.0 + host.uniform(0.0, 0.12)[:, None] * torch.tensor([-1.0, 0.0, 1.0])
        colour = torch.where((self.tint > 0.0) & host.chance(0.5)[:, None], colour, 1.0)
        air = host.within(self.airlight)[:, None] * (1.0 + self.tint * host.normal((3,)))
        loss, air = random.send(-beta[:, None] * colour, air.clamp(0.0, 1.0))
        return Medium((per_pixel(loss) * depth[:, None]).exp_(), air)

    def _given(self, random: Random, height: int, width: int) -> Tensor:
        """Return (B, H, W) depths of the scene in the file, with mean one.

        Raises:
            ImageError: the file is no image.
        """
        assert self.depth is not None
        shades = images.read(self.depth).pixels.mean(0).add(1).div_(2)
        shades = functional.interpolate(shades[None, None], (height, width), mode="bilinear", antialias=True)[0]
        depth = shades / shades.mean().clamp(min=1e-3)
        return random.send(depth)[0].expand(len(random), -1, -1)

    def _depth(self, random: Random, height: int, width: int) -> Tensor:
        """Return (B, H, W) depths with mean about one: a receding ground, hills, and things with outlines before it."""
        rows = 1.0 - 2.0 * (torch.arange(height, device=random.device) + 0.5) / height
        host = random.host
        slope = host.normal() * 0.5 + 0.6
        hills = 0.35 * smooth_field(random, 2, height, width) + 0.2 * smooth_field(random, 5, height, width)
        sharpness, bumps = host.log_within((2.0, 40.0)), smooth_field(random, 4, height, width)
        numbers = random.send(slope, sharpness, host.normal(), host.uniform(0.0, 1.0), host.within(self.relief))
        slope, sharpness, shift, share, relief = (x[:, None, None] for x in numbers)
        things = torch.sigmoid(sharpness * (bumps + shift))
        raw = slope * rows[:, None] + hills + share * things
        depth = (0.9 * raw).exp()
        depth = depth / depth.mean((1, 2), keepdim=True)
        return (1.0 - relief) + relief * depth
