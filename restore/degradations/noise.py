"""Noise of a sensor: as strong everywhere, or as the light's own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.degradations.fields import per_pixel
from restore.degradations.random import Random, Share
from restore.schema import Spec

__all__ = ["SensorNoise"]


class SensorNoise(Spec):
    """Normal noise in every channel; in some images its variance grows with the light (shot noise).

    Attributes:
        sigma: standard deviation at severity 1, as a share of the range; of shot noise, at white.
        shot: share of the images with shot noise.
    """

    kind: Literal["noise"] = "noise"
    sigma: Share = (0.08, 0.2)
    shot: float = Field(0.3, ge=0, le=1)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] with noise; severity 0 leaves it as it is."""
        host = random.host
        strength = host.severity(severity)
        sigma, shot = random.send(strength * host.within(self.sigma), host.chance(self.shot))
        sigma, shot = per_pixel(sigma)[:, None], shot[:, None, None, None]
        # the normal law with the mean's variance stands for Poisson's: photons are many where noise is mild
        spread = shot * clean.clamp(0, 1).sqrt() + ~shot
        return (clean + sigma * spread * random.normal(tuple(clean.shape[1:]))).clamp_(0, 1)
