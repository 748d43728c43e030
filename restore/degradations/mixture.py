"""The degradations of training images: one kind of weather per image, in given proportions, then the camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from restore.degradations.camera import Camera
from restore.degradations.clean import Clean
from restore.degradations.haze import Haze
from restore.degradations.kinds import GROUP, Degradation
from restore.degradations.rain import Rain
from restore.degradations.rain_haze import RainHaze
from restore.degradations.rain_snow import RainSnow
from restore.degradations.raindrop import Raindrop
from restore.degradations.random import Random
from restore.degradations.snow import Snow
from restore.errors import ArrayError
from restore.schema import Spec, extensions

__all__ = ["LABELS", "Mixture"]

LABELS = ("unknown", "rain", "snow", "haze", "rain+haze", "raindrop", "clean")
"""The kinds of degradation in the order of a network's labels; `unknown` is for blind restoration."""

KINDS = (*LABELS[1:], "rain+snow")
"""What a mixture has a field for; a kind without a label of its own is `unknown` to a network."""


class Mixture(Spec):
    """Images in mixed weather, each with one kind of degradation drawn by `weights`.

    Attributes:
        weights: how often each kind occurs; they need not sum to one, a kind that is left out never occurs.
        rain: ranges of rain.
        snow: ranges of snow.
        haze: ranges of haze.
        rain_haze: ranges of rain in haze.
        rain_snow: ranges of rain and snow together.
        raindrop: ranges of drops on the lens.
        clean: images without weather, which teach a model to leave them alone.
        camera: noise, blur and compression after the weather.
        others: the ranges of further kinds, each to be named by `weights`, too: any degradation that leaves the size
            of an image as it is. Kinds that other packages add need no entry here where their defaults do.
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
    others: tuple[Degradation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_added(cls, document: Any) -> Any:
        """Return the document with an entry in `others` for each kind of another package that only `weights` names."""
        if not isinstance(document, Mapping) or not isinstance(weights := document.get("weights"), Mapping):
            return document
        others = document.get("others", ())
        if not isinstance(others, list | tuple):
            return document
        there = {other.get("kind") if isinstance(other, Mapping) else getattr(other, "kind", None) for other in others}
        added = [{"kind": kind} for kind in weights if kind not in there and kind in extensions(GROUP, KINDS)]
        return {**document, "others": [*others, *added]} if added else document

    @model_validator(mode="after")
    def _known(self) -> Mixture:
        others = [other.kind for other in self.others]
        if len({*KINDS, *others}) < len(KINDS) + len(others):
            raise ValueError(f"others holds {others}: each kind once, and none that has a field of its own")
        unknown = sorted(set(self.weights) - {*KINDS, *others})
        if unknown:
            raise ValueError(f"unknown kinds {unknown} in weights; known are {[*KINDS, *others]}")
        if unnamed := sorted(set(others) - set(self.weights)):
            raise ValueError(f"others holds {unnamed}, which weights does not name")
        if min(self.weights.values(), default=0.0) < 0.0 or sum(self.weights.values()) <= 0.0:
            raise ValueError("weights must not be negative, and one at least must be above 0")
        return self

    def sample(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the degraded images and the (B,) int64 index of each one's kind in `LABELS`.

        Args:
            clean: (B, 3, H, W) float32 in [0, 1].
            random: the per-sample streams.
            severity: as for each kind; None draws one for each image.
        """
        kinds, names, host = self.parts(), [*KINDS, *(other.kind for other in self.others)], random.host
        kind = host.choice([self.weights.get(name, 0.0) for name in names])
        strength = host.severity(severity)
        drawn = kind.unique().tolist()
        rows = [(kind == number).nonzero()[:, 0] for number in drawn]
        numbers = torch.tensor([LABELS.index(name) if name in LABELS else 0 for name in names])
        label, *places = random.send(numbers[kind], *rows)
        degraded = clean.clone()
        for number, index, place in zip(drawn, rows, places, strict=True):
            part, given = random.subset(index.tolist()), clean[place]
            made = kinds[names[number]](given, part, strength[index])
            if made.shape != given.shape:
                what = f"degradation {names[number]} made {tuple(made.shape)} of {tuple(given.shape)}"
                raise ArrayError(f"{what}; in a mixture the size stays")
            degraded[place] = self.camera(made, part)
        return degraded, label

    def parts(self) -> dict[str, Degradation]:
        """Return the degradation of each kind that occurs, by its name."""
        own = (self.rain, self.snow, self.haze, self.rain_haze, self.rain_snow, self.raindrop, self.clean)
        specs = (*own, *self.others)
        return {spec.kind: spec for spec in specs if self.weights.get(spec.kind, 0.0) > 0.0}
