"""Degradations made to order: clean images in, rained, snowed, blurred, compressed or cut ones out.

Every degradation is a document of ranges and a function `(clean, random, severity) -> degraded` on batches in [0, 1];
severity 0 is the clean image, 1 the heaviest, None a random one for each image (of those that know no chance, the
full one). `names.named` knows them by the names of the command line.
"""

from __future__ import annotations

from restore.degradations.camera import Camera
from restore.degradations.clean import Clean
from restore.degradations.grayscale import Grayscale
from restore.degradations.haze import Haze
from restore.degradations.hole import Crop, Hole
from restore.degradations.jpeg import JPEG
from restore.degradations.kinds import Degradation
from restore.degradations.mixture import LABELS, Mixture
from restore.degradations.noise import SensorNoise
from restore.degradations.rain import Rain
from restore.degradations.rain_haze import RainHaze
from restore.degradations.rain_snow import RainSnow
from restore.degradations.raindrop import Raindrop
from restore.degradations.random import Random
from restore.degradations.resolution import BlindResolution, Resolution
from restore.degradations.snow import Snow

__all__ = [
    "JPEG",
    "LABELS",
    "BlindResolution",
    "Camera",
    "Clean",
    "Crop",
    "Degradation",
    "Grayscale",
    "Haze",
    "Hole",
    "Mixture",
    "Rain",
    "RainHaze",
    "RainSnow",
    "Raindrop",
    "Random",
    "Resolution",
    "SensorNoise",
    "Snow",
]
