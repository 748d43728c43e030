"""Color augmentation: what a photograph may look like in good weather."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from restore.degradations.blur import gaussian_blur
from restore.degradations.fields import per_pixel, smooth_field
from restore.degradations.grayscale import luma
from restore.degradations.random import PositiveRange, Random, Range
from restore.schema import Spec

__all__ = ["ColorAugmentation", "translate"]

NAME, OLD = "color_augmentation", "retouch"  # what it is called in documents, and was at first


def translate(document: Any) -> Any:
    """Return a document that may have a color augmentation under its old name with the present one.

    >>> translate({"color_augmentation": {"gray": 0.1}, "retouch": {"chance": 1.0}})
    {'color_augmentation': {'gray': 0.1, 'chance': 1.0}}
    """
    if not isinstance(document, Mapping) or OLD not in document:
        return document
    old, own = document[OLD], document.get(NAME)
    both = {**own, **old} if isinstance(old, Mapping) and isinstance(own, Mapping) else old
    return {**{key: value for key, value in document.items() if key != OLD}, NAME: both}


class ColorAugmentation(Spec):
    """Tones, colours and sharpness as photographers, cameras and programs leave them.

    Attributes:
        chance: share of images whose tones change.
        gamma: exponent of the values; below 1 is brighter.
        contrast: of the values around the middle.
        brightness: added to the values.
        saturation: of the colours; 0 is gray.
        gray: share of images without any colour.
        sharpness: below 0 is softer, above 0 sharper.
        sharpness_chance: share of images that are softer or sharper.
        balance: white balance; standard deviation of the logarithm of a gain that is drawn for each channel.
        light: light that falls unevenly; standard deviation of the logarithm of a smooth gain, over all images. Two
            thirds of it lie within an image, as much again changes how bright the whole is. Both are for the images
            whose tones change.
    """

    kind: Literal["color_augmentation"] = "color_augmentation"
    chance: float = Field(0.5, ge=0, le=1)
    gamma: PositiveRange = (0.55, 1.7)
    contrast: PositiveRange = (0.6, 1.25)
    brightness: Range = (-0.12, 0.2)
    saturation: Range = (0.3, 1.3)
    gray: float = Field(0.05, ge=0, le=1)
    sharpness: Range = (-1.0, 1.5)
    sharpness_chance: float = Field(0.2, ge=0, le=1)
    balance: float = Field(0.0, ge=0, le=1)
    light: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _translate(cls, document: Any) -> Any:
        return {**document, "kind": NAME} if isinstance(document, Mapping) and document.get("kind") == OLD else document

    def __call__(self, clean: Tensor, random: Random) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] with other tones, colours and sharpness."""
        host = random.host
        toned, edged = host.chance(self.chance), host.chance(self.sharpness_chance)
        gray = host.chance(self.gray)
        gamma, contrast = host.log_within(self.gamma), host.within(self.contrast)
        brightness, saturation = host.within(self.brightness), host.within(self.saturation)
        sharpness = host.within(self.sharpness)
        gamma, contrast = torch.where(toned, gamma, 1.0), torch.where(toned, contrast, 1.0)
        brightness = torch.where(toned, brightness, 0.0)
        saturation = torch.where(gray, 0.0, torch.where(toned, saturation, 1.0))
        image = clean.clone()
        gain = self._gain(random, *clean.shape[-2:])
        # most of a small batch's time is spent in passes over all pixels: only what changes is touched
        index = (toned | gray).nonzero()[:, 0]
        if len(index):
            numbers = (x[index] for x in (gamma, contrast, brightness + 0.5, saturation))
            place, lit, *numbers = random.send(index, toned, *numbers)
            gamma, contrast, middle, saturation = (x[:, None, None, None] for x in numbers)
            some = image[place]
            if gain is not None:
                some = some * torch.where(per_pixel(lit[:, None]), gain, 1.0)[place]
            # contrast turns around the middle of the range, so that a dark image does not get paler with it
            some = some.clamp_(0, 1).pow_(gamma).sub_(0.5).mul_(contrast).add_(middle)
            image[place] = torch.lerp(luma(some), some, saturation)
        index = edged.nonzero()[:, 0]
        if len(index):
            place, amount = random.send(index, sharpness[index])
            some = image[place]
            soft = gaussian_blur(some, torch.full((len(some), 2), 1.2))
            image[place] = some + amount[:, None, None, None] * (some - soft)
        return image.clamp_(0, 1)

    def _gain(self, random: Random, height: int, width: int) -> Tensor | None:
        """Return what light and white balance multiply a (B, 3, height, width) batch by, or None for nothing."""
        gain = None
        if self.balance:
            gain = per_pixel(self.balance * random.normal((3,)))
        if self.light:
            bumps = self.light * smooth_field(random, 2, height, width)[:, None]
            gain = bumps if gain is None else gain + bumps
        return None if gain is None else gain.exp()
