"""Detection: which weather an image shows, if any."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from restore.degradations import LABELS, Mixture, Random
from restore.degradations.color_augmentation import ColorAugmentation
from restore.tasks.task import Example, Examples, Task

__all__ = ["Detection"]


class Detection(Task):
    """The weather of an image is to be named; what it shows is drawn by the training run's mixture.

    Attributes:
        faint: weather below this severity counts as none: it is hard to see, and its removal costs more than it gains.
        lean: exponent of drawn severities; below 1, weather is heavier than an even draw: of faint weather there is
            little to learn.
        after: the color augmentation after the weather; less than `data.color_augmentation` before it, since strong
            changes look like haze. Without the latter, pale photographs are taken for hazy ones.
    """

    kind: Literal["detection"] = "detection"
    faint: float = Field(0.1, ge=0, le=1)
    lean: float = Field(0.6, gt=0)
    after: ColorAugmentation = ColorAugmentation(
        chance=0.2,
        gamma=(0.8, 1.25),
        contrast=(0.85, 1.1),
        brightness=(-0.05, 0.05),
        saturation=(0.7, 1.2),
        gray=0.02,
        sharpness_chance=0.1,
    )

    def examples(self, weather: Mixture) -> Examples:
        """Return what makes training images: photographs in weather of any strength, with other colours after it."""

        def make(clean: Tensor, random: Random, severity: float | None) -> Example:
            strength = random.host.severity(severity)
            strength = strength**self.lean if severity is None else strength
            degraded, label = weather.sample(clean, random, strength)
            after, (faint,) = self.after(degraded, random), random.send(strength < self.faint)
            return Example(after * 2 - 1, label.masked_fill(faint, LABELS.index("clean")))

        return make
