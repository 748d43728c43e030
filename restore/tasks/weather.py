"""Weather: the label is that of the degradation, or that of an unknown one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from restore.degradations import LABELS, Degradation, Mixture, Random
from restore.tasks.task import Example, Examples, Task

__all__ = ["Weather"]


class Weather(Task):
    """Rain, snow, haze or drops are to be removed; what they are is drawn by the training run's mixture."""

    card: ClassVar[str] = "raindrop"
    labelled: ClassVar[bool] = True

    kind: Literal["weather"] = "weather"

    def examples(self, weather: Mixture) -> Examples:
        """Return what makes training images: one kind of weather each."""

        def make(clean: Tensor, random: Random, severity: float | None) -> Example:
            degraded, label = weather.sample(clean, random, severity)
            return Example(degraded * 2 - 1, label)

        return make

    def views(self, weather: Mixture) -> Mapping[str, Examples]:
        """Return what makes validation images, one for each kind of weather."""
        return {name: partial(_of_one_kind, name, spec) for name, spec in weather.parts().items()}


def _of_one_kind(name: str, spec: Degradation, clean: Tensor, random: Random, severity: float | None) -> Example:
    number = LABELS.index(name) if name in LABELS else 0
    label = torch.full((len(clean),), number, device=clean.device)
    return Example(spec(clean, random, severity) * 2 - 1, label)
