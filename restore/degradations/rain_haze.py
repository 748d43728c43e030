"""Heavy rain: streaks together with the veil of the drops too far away to be seen one by one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from restore.degradations.fields import blend, scatter
from restore.degradations.haze import Haze
from restore.degradations.rain import Rain
from restore.degradations.random import Random
from restore.schema import Spec

__all__ = ["RainHaze"]


class RainHaze(Spec):
    """Rain and haze that belong to one another: `I = t (J + S) + A (1 - t)` (Li, Cheong and Tan 2019, eq. 3).

    Streaks lie partly behind the air (they pale with it) and partly before it, in a random share.

    Attributes:
        rain: ranges of the streaks; its own veil is not used.
        haze: ranges of the air.
    """

    kind: Literal["rain+haze"] = "rain+haze"
    rain: Rain = Rain(opacity=(0.2, 0.8))
    haze: Haze = Haze(transmission=(0.2, 0.65), airlight=(0.45, 0.95))

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] in heavy rain; severity 0 leaves it as it is."""
        strength = random.host.severity(severity)
        height, width = clean.shape[-2:]
        amount, colour, keep = self.rain.streaks(random, strength, height, width)
        medium = self.haze.medium(random, strength, height, width)
        behind = random.uniform()[:, None, None]
        scene = blend(clean, amount * behind, colour, keep).clamp_(0.0, 1.0)
        return blend(scatter(scene, *medium), amount * (1.0 - behind), colour, keep).clamp_(0.0, 1.0)
