"""Thresholding: what keeps an estimate within the range of images. Belongs outside of patches, after the merge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.schema import Spec

__all__ = ["Clipped", "Dynamic", "DynamicallyClipped", "NoThreshold", "Static", "ThresholdSpec", "magnitude"]


def magnitude(x: Tensor, percentile: float) -> Tensor:
    """Return the (B,) percentile, from 0 to 1, of `|x|` in each image of (B, C, H, W), interpolated linearly.

    torch.quantile refuses images above 16 million values and sorts all of them; two selections do without.
    """
    values = x.abs().flatten(1)
    place = percentile * (values.shape[1] - 1)
    low = torch.kthvalue(values, math.floor(place) + 1, dim=1).values
    high = torch.kthvalue(values, math.ceil(place) + 1, dim=1).values
    return torch.lerp(low, high, place - math.floor(place))


@dataclass(frozen=True)
class Clipped:
    """A denoiser whose x0 is clamped to the range of images; belongs outside of patches, after the merge."""

    denoiser: Denoiser
    low: float = -1.0
    high: float = 1.0

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the clamped estimate; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        return estimate._replace(x0=estimate.x0.clamp(self.low, self.high))


@dataclass(frozen=True)
class DynamicallyClipped:
    """A denoiser whose x0 is clamped to a percentile of its own values and scaled back to [-1, 1].

    Imagen (Saharia et al. 2022), section 2.3: keeps strong guidance from saturating pixels.

    Attributes:
        denoiser: whose estimates may leave the range.
        percentile: of `|x0|`, from 0 to 1, in each image; below 1 the range stays [-1, 1].
    """

    denoiser: Denoiser
    percentile: float = 0.995

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the thresholded estimate; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        bound = magnitude(estimate.x0, self.percentile).clamp(min=1).reshape(-1, 1, 1, 1)
        return estimate._replace(x0=estimate.x0.clamp(-bound, bound).div_(bound))


class Static(Spec):
    """x0 is clamped to [low, high].

    Attributes:
        low: lower limit of x0.
        high: upper limit of x0.
    """

    kind: Literal["static"] = "static"
    low: float = -1.0
    high: float = 1.0

    def around(self, denoiser: Denoiser) -> Denoiser:
        """Return the denoiser with this threshold."""
        return Clipped(denoiser, self.low, self.high)


class Dynamic(Spec):
    """x0 is clamped to a percentile of its own values and scaled back; see `DynamicallyClipped`.

    Attributes:
        percentile: of `|x0|`, from 0 to 1, which becomes the range.
    """

    kind: Literal["dynamic"] = "dynamic"
    percentile: float = Field(0.995, gt=0, le=1)

    def around(self, denoiser: Denoiser) -> Denoiser:
        """Return the denoiser with this threshold."""
        return DynamicallyClipped(denoiser, self.percentile)


class NoThreshold(Spec):
    """x0 stays as it is estimated, as in WeatherDiffusion."""

    kind: Literal["none"] = "none"

    def around(self, denoiser: Denoiser) -> Denoiser:
        """Return the denoiser."""
        return denoiser


ThresholdSpec = Annotated[Static | Dynamic | NoThreshold, Field(discriminator="kind")]
