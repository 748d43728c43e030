"""The degradations by the names of the command line."""

from __future__ import annotations

from collections.abc import Callable

from restore.degradations import (
    JPEG,
    BlindResolution,
    Clean,
    Crop,
    Degradation,
    Grayscale,
    Haze,
    Hole,
    Rain,
    Raindrop,
    RainHaze,
    RainSnow,
    Resolution,
    SensorNoise,
    Snow,
)
from restore.degradations.kinds import GROUP
from restore.degradations.masks import Box, BoxAndStrokes, Center, FreeForm, Irregular
from restore.errors import ConfigError
from restore.schema import extensions, parse
from restore.schema.extensions import refuse_taken, unknown

__all__ = ["KNOWN", "MASK_FILE", "named"]

FIXED: dict[str, Degradation] = {
    "rain": Rain(),
    "snow": Snow(),
    # Snow100K's three parts: flakes of one size class, and the larger the part, the more of the smaller ones too
    "snow-small": Snow(diameter=(1.1, 6.0), large=(0.001, 0.004)),
    "snow-medium": Snow(diameter=(1.1, 14.0), large=(0.01, 0.06)),
    "snow-large": Snow(large=(0.06, 0.2)),
    "haze": Haze(),
    "rain+haze": RainHaze(),
    "rain+snow": RainSnow(),
    "raindrop": Raindrop(),
    "clean": Clean(),
    "jpeg": JPEG(),
    "noise": SensorNoise(),
    "grayscale": Grayscale(),
    "crop": Crop(),
    "mask-box": Hole(mask=Box()),
    "mask-center": Hole(area=(0.25, 0.25), mask=Center()),
    "mask-irregular": Hole(mask=Irregular()),
    "mask-free-form": Hole(mask=FreeForm()),
    "mask-hybrid": Hole(area=(0.2, 0.5), mask=BoxAndStrokes()),
}

FAMILIES: dict[str, tuple[range, Callable[[int], Degradation]]] = {
    "bicubic-x": (range(2, 33), lambda n: Resolution(scale=n)),
    "blind-x": (range(2, 33), lambda n: BlindResolution(scale=n)),
    "jpeg-q": (range(1, 101), lambda n: JPEG(quality=(n, n))),
    "noise-": (range(1, 256), lambda n: SensorNoise(sigma=(n / 255, n / 255), shot=0.0)),
}

MASK_FILE = "mask-file"
"""Holes from mask files; they need a folder (`restore.degradations.masks.MaskFiles`)."""

KNOWN = (*FIXED, MASK_FILE, *(f"{name}N" for name in FAMILIES))
"""Every name; N stands for a number: of times smaller, of quality, of grey levels."""


def named(name: str) -> Degradation:
    """Return the degradation of a name, with its usual ranges; one of another package is named by its kind.

    >>> named("bicubic-x4").scale
    4

    Raises:
        ConfigError: there is none of that name, its number is out of range, it needs masks, or its package is broken.
    """
    refuse_taken(GROUP, name, name in KNOWN)
    if name == MASK_FILE:
        raise ConfigError(f"degradation {name} needs masks: pass --mask")
    if name in FIXED:
        return FIXED[name]
    if name in extensions(GROUP):
        return parse(Degradation, {"kind": name}, f"degradation {name}")
    family = name.rstrip("0123456789")
    number = name.removeprefix(family)
    if not number or family not in FAMILIES:
        raise ConfigError(unknown("degradation", name, GROUP, KNOWN))
    allowed, make = FAMILIES[family]
    if len(number) > 9 or int(number) not in allowed:
        raise ConfigError(f"degradation {family}N takes N from {allowed[0]} to {allowed[-1]}, not {number[:20]}")
    return make(int(number))
