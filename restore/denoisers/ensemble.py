"""Self-ensemble: a denoiser that processes an image in several orientations and averages the estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.errors import ConfigError

__all__ = ["ORIENTATIONS", "SelfEnsemble", "check_orientations", "turn", "turn_back"]

ORIENTATIONS = (1, 2, 4, 8)
"""Possible numbers of orientations: the identity; horizontal flips, too; vertical flips, too; transposes, too."""


def check_orientations(number: int) -> None:
    """Raise ConfigError unless the number of orientations is one of `ORIENTATIONS`."""
    if number not in ORIENTATIONS:
        known = ", ".join(map(str, ORIENTATIONS))
        raise ConfigError(f"the self-ensemble takes {known} orientations, not {number}")


def turn(x: Tensor, k: int) -> Tensor:
    """Return (..., H, W) in the k-th of the eight orientations of a square; those from 4 on are (..., W, H)."""
    x = x.transpose(-1, -2) if k & 4 else x
    sides = [side for bit, side in ((1, -1), (2, -2)) if k & bit]
    return x.flip(sides) if sides else x


def turn_back(x: Tensor, k: int) -> Tensor:
    """Undo `turn`."""
    sides = [side for bit, side in ((1, -1), (2, -2)) if k & bit]
    x = x.flip(sides) if sides else x
    return x.transpose(-1, -2) if k & 4 else x


def turned(condition: Condition, k: int) -> Condition:
    """Return a condition whose spatial fields are in the k-th orientation."""
    return condition.map(lambda x: turn(x, k), spatial=True)


@dataclass
class SelfEnsemble:
    """A denoiser whose estimate is the mean over the orientations of the image.

    Geometric self-ensemble (Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR
    2016), at each step of any sampler in place of whole restorations; in one step the two are the same. It costs as
    many times more as there are orientations, and holds three images more.

    Attributes:
        denoiser: of whole images, of any size.
        orientations: how many, one of `ORIENTATIONS`.
        overview: gives a turned condition the thumbnail, or the features, of its image, for those of the upright one
            do not fit it.
    """

    denoiser: Denoiser
    orientations: int
    overview: Callable[[Condition], Condition]
    _seen: Tensor | None = field(default=None, init=False, repr=False)
    _overviews: list[tuple[Tensor | None, Tensor | None]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_orientations(self.orientations)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the mean estimate; see `Denoiser`. The condition is one of whole images, without a box."""
        if self._seen is not condition.image:  # a sampler shows the same image at every step
            others = (self.overview(turned(condition, k)) for k in range(1, self.orientations))
            self._overviews = [(shown.thumbnail, shown.features) for shown in (condition, *others)]
            self._seen = condition.image
        totals: list[Tensor | None] = [None] * len(Estimate._fields)
        for k, (thumbnail, features) in enumerate(self._overviews):
            shown = turned(condition, k).replaced(thumbnail=thumbnail, features=features)
            estimate = self.denoiser(turn(x_t, k).contiguous(), level, shown)
            for place, part in enumerate(estimate):
                if part is not None:
                    upright, total = turn_back(part, k), totals[place]
                    totals[place] = upright.clone() if total is None else total.add_(upright)
        return Estimate(*(total if total is None else total.div_(self.orientations) for total in totals))
