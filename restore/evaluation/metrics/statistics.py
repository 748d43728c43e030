"""From scores of single images to one number that states its uncertainty.

Intervals are percentile bootstrap intervals over images (Efron 1979): the images of the set are what varies, not
the noise of the sampler. They are seeded, so that the same scores always print the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from restore.errors import ArrayError
from restore.schema import Spec

__all__ = ["Difference", "Summary", "bootstrap_interval", "paired_difference", "summarise"]

RESAMPLES = 2000
FEWEST_RESAMPLES = 400  # leaves an error of about a twentieth in the width of an interval
DRAWS = 6_000_000  # above it fewer resamples are drawn: the mean of thousands of images is nearly Gaussian
DRAWS_AT_ONCE = 2_000_000
FEWEST_PAIRS = 6  # below it a bootstrap interval is too narrow to call a difference clear


class Summary(Spec):
    """The mean of one metric over images, and its interval.

    `mean` is None where no image had a finite score, `low` and `high` are None where fewer than two had one.
    `count` is how many scores the mean is over, `infinite` how many were left out of it (identical images).
    """

    mean: float | None
    count: int
    infinite: int = 0
    low: float | None = None
    high: float | None = None


class Difference(Summary):
    """The mean of `first - second` over images that both scored; `infinite` counts the pairs left out."""

    @property
    def enough(self) -> bool:
        """Whether there are images enough for the interval to be believed."""
        return self.count >= FEWEST_PAIRS

    @property
    def clear(self) -> bool:
        """Whether there are enough images and the interval leaves out zero, so that the difference is significant."""
        return self.enough and self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(
    scores: Iterable[float] | Tensor, *, confidence: float = 0.95, resamples: int | None = None, seed: int = 0
) -> Summary:
    """Return mean, count and bootstrap interval of per-image scores; infinite ones are counted and left out.

    Raises:
        ArrayError: a score is not a number.
    """
    values = _values(scores)
    finite = values[np.isfinite(values)]
    mean, low, high = _mean_and_interval(finite, confidence, resamples, seed)
    return Summary(mean=mean, count=finite.size, infinite=values.size - finite.size, low=low, high=high)


def paired_difference(
    first: Iterable[float] | Tensor,
    second: Iterable[float] | Tensor,
    *,
    confidence: float = 0.95,
    resamples: int | None = None,
    seed: int = 0,
) -> Difference:
    """Return the mean of `first - second`, image by image, and its interval.

    Both are scores of the same images in the same order. The pairing takes the difficulty of the images out, so
    the interval is far narrower than those of the two means.

    Raises:
        ArrayError: the two are not equally long, or a score is not a number.
    """
    a, b = _values(first), _values(second)
    if a.size != b.size:
        raise ArrayError(f"a paired difference needs scores of the same images: got {a.size} and {b.size} of them")
    both = np.isfinite(a) & np.isfinite(b)
    mean, low, high = _mean_and_interval(a[both] - b[both], confidence, resamples, seed)
    return Difference(mean=mean, count=int(both.sum()), infinite=int(a.size - both.sum()), low=low, high=high)


def bootstrap_interval(
    values: Iterable[float] | Tensor, *, confidence: float = 0.95, resamples: int | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of the mean of finite values.

    Args:
        values: to be resampled.
        confidence: of the interval.
        resamples: by default 2000, fewer above 3000 values, never fewer than 400.
        seed: of the draws.

    Raises:
        ArrayError: fewer than two values, or one that is not finite.
    """
    array = _values(values)
    if array.size < 2 or not np.isfinite(array).all():
        raise ArrayError(f"a bootstrap interval needs at least two finite values, got {array.size} values")
    if resamples is None:
        resamples = max(FEWEST_RESAMPLES, min(RESAMPLES, DRAWS // array.size))
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, DRAWS_AT_ONCE // array.size)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(0, array.size, size=(count, array.size))
        means[start : start + count] = array[drawn].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _mean_and_interval(
    values: np.ndarray, confidence: float, resamples: int | None, seed: int
) -> tuple[float | None, float | None, float | None]:
    if values.size == 0:
        return None, None, None
    mean = math.fsum(values) / values.size
    if values.size == 1:
        return mean, None, None
    return mean, *bootstrap_interval(values, confidence=confidence, resamples=resamples, seed=seed)


def _values(scores: Iterable[float] | Tensor) -> np.ndarray:
    """Return the scores as a float64 vector; ArrayError where one is NaN, which no metric gives for valid images."""
    listed = scores.flatten().tolist() if isinstance(scores, Tensor) else list(scores)
    array = np.asarray(listed, dtype=np.float64)
    if np.isnan(array).any():
        raise ArrayError(f"score {int(np.isnan(array).argmax())} of {array.size} is not a number")
    return array
