"""What training sees: one kind of weather per picture, in given proportions, then the camera."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator
from torch import Tensor

from restore.degradations.camera import Camera
from restore.degradations.clean import Clean
from restore.degradations.haze import Haze
from restore.degradations.rain import Rain
from restore.degradations.rain_haze import RainHaze
from restore.degradations.rain_snow import RainSnow
from restore.degradations.raindrop import Raindrop
from restore.degradations.random import Random
from restore.degradations.snow import Snow
from restore.schema import Spec

__all__ = ["LABELS", "Mixture"]

LABELS = ("unknown", "rain", "snow", "haze", "rain+haze", "raindrop", "clean")
"""The kinds of degradation in the order of a network's labels; `unknown` asks it to find out by itself."""

KINDS = (*LABELS[1:], "rain+snow")
"""What a mixture can hold; a kind without a label of its own is `unknown` to a network."""


class Mixture(Spec):
    """Pictures in mixed weather, each with one kind of degradation drawn by `weights`.

    Attributes:
        weights: how often each kind occurs; they need not sum to one, a kind that is left out never occurs.
        rain: the ranges of rain, and so for each kind.
        camera: what follows the weather.
    """

    weights: dict[str, float] = Field(
        default={"rain": 3.0, "snow": 2.0, "haze": 2.0, "rain+haze": 1.5, "raindrop": 1.0, "clean": 0.5}
    )
    rain: Rain = Rain()
    snow: Snow = Snow()
    haze: Haze = Haze()
    rain_haze: RainHaze = RainHaze()
    rain_snow: RainSnow = RainSnow()
    raindrop: Raindrop = Raindrop()
    clean: Clean = Clean()
    camera: Camera = Camera()

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(weights) - set(KINDS))
        if unknown:
            raise ValueError(f"unknown kinds {unknown}; known are {list(KINDS)}")
        if min(weights.values(), default=0.0) < 0.0 or sum(weights.values()) <= 0.0:
            raise ValueError("weights must not be negative, and one at least must be above 0")
        return weights

    def sample(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the degraded pictures and the (B,) int64 index of each one's kind in `LABELS`.

        Args:
            clean: (B, 3, H, W) float32 in [0, 1].
            random: the per-sample streams.
            severity: as for each kind; None draws one for each picture.
        """
        kinds, host = self.parts(), random.host
        kind = host.choice([self.weights.get(kind, 0.0) for kind in KINDS])
        strength = host.severity(severity)
        drawn = kind.unique().tolist()
        rows = [(kind == number).nonzero()[:, 0] for number in drawn]
        numbers = torch.tensor([LABELS.index(name) if name in LABELS else 0 for name in KINDS])
        label, *places = random.send(numbers[kind], *rows)
        degraded = clean.clone()
        for number, index, place in zip(drawn, rows, places, strict=True):
            part = random.subset(index.tolist())
            degraded[place] = self.camera(kinds[KINDS[number]](clean[place], part, strength[index]), part)
        return degraded, label

    def parts(self) -> dict[str, Rain | Snow | Haze | RainHaze | RainSnow | Raindrop | Clean]:
        """Return the degradation of each kind that occurs, by its name."""
        specs = (self.rain, self.snow, self.haze, self.rain_haze, self.rain_snow, self.raindrop, self.clean)
        return {spec.kind: spec for spec in specs if self.weights.get(spec.kind, 0.0) > 0.0}
