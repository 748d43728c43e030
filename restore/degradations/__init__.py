"""Weather made to order: clean pictures in, rained, snowed, hazed or drop-covered pictures out.

Every degradation is a document of ranges and a function `(clean, random, severity) -> degraded` on batches in [0, 1];
severity 0 is the clean picture, 1 the heaviest, None a random one for each picture.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from restore.degradations.camera import Camera
from restore.degradations.clean import Clean
from restore.degradations.haze import Haze
from restore.degradations.mixture import LABELS, Mixture
from restore.degradations.rain import Rain
from restore.degradations.rain_haze import RainHaze
from restore.degradations.raindrop import Raindrop
from restore.degradations.random import Random
from restore.degradations.snow import Snow

__all__ = [
    "LABELS",
    "Camera",
    "Clean",
    "Degradation",
    "Haze",
    "Mixture",
    "Rain",
    "RainHaze",
    "Raindrop",
    "Random",
    "Snow",
]

Degradation = Annotated[Rain | Snow | Haze | RainHaze | Raindrop | Clean, Field(discriminator="kind")]
