"""All kinds of degradations as one document, discriminated by `kind`; other packages add theirs."""

from __future__ import annotations

from typing import Annotated

from restore.degradations.clean import Clean
from restore.degradations.grayscale import Grayscale
from restore.degradations.haze import Haze
from restore.degradations.hole import Crop, Hole
from restore.degradations.jpeg import JPEG
from restore.degradations.noise import SensorNoise
from restore.degradations.rain import Rain
from restore.degradations.rain_haze import RainHaze
from restore.degradations.rain_snow import RainSnow
from restore.degradations.raindrop import Raindrop
from restore.degradations.resolution import BlindResolution, Resolution
from restore.degradations.snow import Snow
from restore.schema import Kinds

__all__ = ["GROUP", "Degradation"]

GROUP = "restore.degradations"

Degradation = Annotated[
    Rain
    | Snow
    | Haze
    | RainHaze
    | RainSnow
    | Raindrop
    | Clean
    | Resolution
    | BlindResolution
    | JPEG
    | SensorNoise
    | Grayscale
    | Hole
    | Crop,
    Kinds(GROUP, needs=("__call__",)),
]
