"""What a metric is, and the mapping of all: one registration holds its name, bounds, unit, source and function.

A metric is registered in the file of its function; nothing else needs to know it. One of your own comes with a package
(docs/extending.md), or in a script of your own::

    from restore.evaluation.metrics import Metric, register

    register(Metric(name="rmse", label="RMSE", direction="lower", low=0, high=255, unit="levels",
                    description="root mean square error", reference="", score=lambda pair: rmse(*pair.channels)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.errors import ConfigError
from restore.schema import Extended, Spec
from restore.schema.extensions import unknown

__all__ = ["METRICS", "Metric", "ScoredPair", "get_metric", "register"]


class ScoredPair(Protocol):
    """Restored images and ground truths as a scoring protocol brings them together: (B, C, H, W) float pairs."""

    @property
    def channels(self) -> tuple[Tensor, Tensor]:
        """The channels that the protocol scores, in [0, 255]."""
        ...

    @property
    def limited(self) -> tuple[Tensor, Tensor]:
        """BT.601 limited luma, in [16, 235], whatever the protocol's own channels are."""
        ...

    @property
    def colors(self) -> tuple[Tensor, Tensor]:
        """RGB in [0, 255]."""
        ...

    @property
    def network(self) -> tuple[Tensor, Tensor]:
        """RGB in [-1, 1], as feature networks take it."""
        ...

    @property
    def protocol(self) -> Any:
        """The protocol itself, for what else it fixes: the window of SSIM."""
        ...


SetComparison = Callable[[Iterator[Tensor], Iterator[Tensor], nn.Module | None], tuple[float, float | None]]
"""Restored and true batches in [-1, 1], and another feature network or None, to a score and its deviation if any."""


class Metric(Spec):
    """One measure of quality.

    Attributes:
        name: in commands, configs and files.
        label: in tables and figures.
        direction: which end is better.
        low: the smallest value; None where there is no bound.
        high: the largest one.
        unit: of the values; empty for a share.
        per: whether one pair of images has a value, or only two sets of them.
        description: in one sentence.
        reference: the citation.
        of_colors: it compares RGB whatever channel a protocol scores, so that protocols share its values.
        usual: it is scored besides where no metric is named, if what it needs is there.
        reported_as: its name among the scores of papers in dataset cards; empty where papers do not report it.
        score: (B,) float64 scores of a pair; None for a metric of sets.
        compare: of sets; None for one of pairs.
        needs: raises MissingResource where weights or packages are absent; None needs nothing.
    """

    name: str
    label: str
    direction: Literal["higher", "lower"]
    low: float | None = None
    high: float | None = None
    unit: str = ""
    per: Literal["image", "set"] = "image"
    description: str
    reference: str
    of_colors: bool = Field(False, exclude=True)
    usual: bool = Field(False, exclude=True)
    reported_as: str = Field("", exclude=True)
    score: Callable[[Any], Any] | None = Field(None, exclude=True)
    compare: Callable[..., Any] | None = Field(None, exclude=True)
    needs: Callable[[], Any] | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _computable(self) -> Metric:
        needed, other = ("score", "compare") if self.per == "image" else ("compare", "score")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"a metric per {self.per} has the function {needed}, and no {other}")
        return self

    @property
    def range(self) -> str:
        """The bounds as text, with a round bracket where there is none.

        >>> METRICS["ssim"].range, METRICS["psnr"].range
        ('[-1, 1]', '[0, inf)')
        """
        low = "(-inf" if self.low is None else f"[{self.low:g}"
        high = "inf)" if self.high is None else f"{self.high:g}]"
        return f"{low}, {high}"

    @property
    def decimals(self) -> int:
        """How many places are worth printing: two for decibels and levels, four for shares."""
        return 4 if self.unit == "" else 2

    @property
    def label_with_unit(self) -> str:
        """The label of an axis, `PSNR (dB)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def gain(self, before: float, after: float) -> float:
        """Return how much better `after` is than `before`: positive where it is, whatever end is the better one."""
        return after - before if self.direction == "higher" else before - after

    def text(self, value: float, sign: bool = False) -> str:
        """Return a value with its unit.

        >>> METRICS["psnr"].text(3.14159, sign=True)
        '+3.14 dB'
        """
        return f"{value:{'+' if sign else ''}.{self.decimals}f} {self.unit}".rstrip()


METRICS = Extended("restore.metrics", {}, Metric)
"""All metrics by name, those of installed packages too; `register` adds to it."""


def register(*metrics: Metric) -> None:
    """Add metrics to those that commands and protocols can name.

    Raises:
        ConfigError: one of that name is there already.
    """
    for metric in metrics:
        if metric.name in METRICS.own:
            raise ConfigError(f"there is a metric {metric.name!r} already: choose another name")
        METRICS[metric.name] = metric


def get_metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        ConfigError: no such metric, the message lists all; or several packages use the name, or it is broken.
    """
    if name not in METRICS:
        raise ConfigError(unknown("metric", name, METRICS.group, METRICS.own))
    return METRICS[name]
