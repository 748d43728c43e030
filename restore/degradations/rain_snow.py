"""Rain and snow at once: sleet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.degradations.rain import Rain
from restore.degradations.random import Random, Share
from restore.degradations.snow import Snow
from restore.schema import Spec

__all__ = ["RainSnow"]


class RainSnow(Spec):
    """Flakes with streaks of rain before them; each is weaker than alone.

    Attributes:
        rain: of the streaks.
        snow: of the flakes.
        balance: the rain's share of the severity; the snow has the rest.
        strength: of both together, relative to one of them alone.
    """

    kind: Literal["rain+snow"] = "rain+snow"
    rain: Rain = Rain()
    snow: Snow = Snow()
    balance: Share = (0.3, 0.7)
    strength: float = Field(1.4, ge=1, le=2)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] in sleet; severity 0 leaves it as it is."""
        strength = random.host.severity(severity) * self.strength
        rain = random.host.within(self.balance)
        snowy = self.snow(clean, random, (strength * (1 - rain)).clamp(max=1))
        return self.rain(snowy, random, (strength * rain).clamp(max=1))
