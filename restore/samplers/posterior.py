"""Several samples of one image: their mean and spread, and whether the spread can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError

__all__ = ["Calibration", "Moments", "Posterior", "expected_share"]


@dataclass(frozen=True)
class Posterior:
    """What several samples say, on the CPU, in the range [-1, 1] of pixels.

    Attributes:
        mean: (3, H, W), the restored image; (B, 3, H, W) of a batch.
        deviation: like it, how far the samples scatter at each pixel; None for a single sample.
        hole: (1, H, W), 1 where pixels were restored, 0 where the input's were kept; None where all were restored.
    """

    mean: Tensor
    deviation: Tensor | None = None
    hole: Tensor | None = None

    def __getitem__(self, index: int) -> Posterior:
        """Return that of one image of a batch."""
        return Posterior(*(None if x is None else x[index] for x in (self.mean, self.deviation, self.hole)))  # type: ignore[arg-type]


class Moments:
    """Mean and standard deviation of images that come one by one; two images are held, however many come.

    >>> moments = Moments()
    >>> for value in (1.0, 2.0, 6.0):
    ...     moments.add(torch.tensor([value]))
    >>> moments.mean.item(), round(moments.deviation().item(), 4)
    (3.0, 2.6458)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.square = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Take one more sample in (Welford's update: exact for close samples, where a sum of squares cancels)."""
        self.count += 1
        if self.count == 1:
            self.mean = x.clone()
            return
        delta = x - self.mean
        self.mean.add_(delta, alpha=1 / self.count)
        self.square = torch.addcmul(self.square, delta, x - self.mean)

    def deviation(self) -> Tensor:
        """Return the standard deviation of the samples, unbiased in its square.

        Raises:
            ConfigError: there are fewer than two samples.
        """
        if self.count < 2:
            raise ConfigError(f"a spread needs at least 2 samples, not {self.count}")
        return (self.square / (self.count - 1)).sqrt()


def expected_share(k: float, samples: int) -> float:
    """Return how often the truth lies within k standard deviations if it is one more sample of a Gaussian.

    Mean and deviation are themselves estimated from the samples, so this is Student's distribution with
    `samples` - 1 degrees of freedom, at k / sqrt(1 + 1 / samples).

    >>> round(expected_share(1, 2), 4), round(expected_share(1, 10**6), 4)
    (0.4359, 0.6827)
    """
    if samples < 2:
        raise ConfigError(f"a spread needs at least 2 samples, not {samples}")
    free, limit = samples - 1, k / math.sqrt(1 + 1 / samples)
    x = torch.linspace(0, limit, 4001, dtype=torch.float64)
    log_scale = math.lgamma((free + 1) / 2) - math.lgamma(free / 2) - 0.5 * math.log(free * math.pi)
    density = (log_scale - (free + 1) / 2 * torch.log1p(x**2 / free)).exp()
    return 2 * float(torch.trapezoid(density, x))


@dataclass
class Calibration:
    """How often the truth lies within k standard deviations of the samples' mean, over many images.

    Attributes:
        samples: how many each image was restored to.
        ks: numbers of standard deviations.
        inside: how many values lay within each.
        values: how many there were.
        error: sum of the squared errors of the mean.
        variance: sum of the samples' variances.
    """

    samples: int
    ks: Sequence[float] = (1.0, 2.0, 3.0)
    inside: list[int] = field(default_factory=list)
    values: int = 0
    error: float = 0.0
    variance: float = 0.0

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ConfigError(f"a spread needs at least 2 samples, not {self.samples}")
        self.inside = self.inside or [0] * len(self.ks)

    def add(self, truth: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """Take one more image in; all of one shape and range, whatever it is.

        Raises:
            ArrayError: the shapes differ.
        """
        if not truth.shape == mean.shape == deviation.shape:
            shapes = ", ".join(str(tuple(x.shape)) for x in (truth, mean, deviation))
            raise ArrayError(f"truth, mean and deviation must have one shape, not {shapes}")
        error = (truth - mean).abs()
        self.inside = [n + int((error <= k * deviation).sum()) for n, k in zip(self.inside, self.ks, strict=True)]
        self.values += error.numel()
        self.error += float(error.double().square().sum())
        self.variance += float(deviation.double().square().sum())

    def merge(self, other: Calibration) -> None:
        """Take in what another one has counted.

        Raises:
            ConfigError: it counts something else.
        """
        if (self.samples, list(self.ks)) != (other.samples, list(other.ks)):
            raise ConfigError("calibrations of different numbers of samples or deviations cannot be merged")
        self.inside = [a + b for a, b in zip(self.inside, other.inside, strict=True)]
        self.values += other.values
        self.error += other.error
        self.variance += other.variance

    def shares(self) -> dict[float, tuple[float, float]]:
        """Return, for each k, the measured share and the one that calibrated Gaussian samples would have."""
        return {
            k: (n / max(self.values, 1), expected_share(k, self.samples))
            for k, n in zip(self.ks, self.inside, strict=True)
        }

    def spread_to_error(self) -> float:
        """Return the root mean variance over the root mean squared error; 1 where calibrated, below it overconfident.

        The error of a mean of K samples is 1 + 1/K times their variance if the truth is one more sample.
        """
        return math.sqrt(self.variance * (1 + 1 / self.samples) / self.error) if self.error else math.inf
