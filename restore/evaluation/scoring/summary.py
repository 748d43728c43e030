"""From records to the rows of a table: means, intervals over images, and what one method has over another."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

from restore.evaluation.metrics import METRICS, Difference, Summary, paired_difference, summarise
from restore.evaluation.scoring.records import Record, Scores
from restore.samplers import Calibration

__all__ = ["Comparison", "Row", "Series", "compare_methods", "group", "scores_by_image", "summarise_rows"]

MANY_METHODS = 4  # above it only the first is compared with each other one


@dataclass(frozen=True)
class Series:
    """What makes one row of the table, the protocol aside: a set of images and a way to restore them."""

    data: str
    model: str
    task: str

    @property
    def method(self) -> str:
        """Model and task as one word.

        >>> Series("kodak24", "weather", "derain").method
        'weather/derain'
        """
        return f"{self.model}/{self.task}" if self.task else self.model


@dataclass(frozen=True)
class Row:
    """One series under one protocol.

    Attributes:
        images: how many were scored.
        seeds: how many different ones they were restored with; an image's scores are averaged over them first.
        before: the input's scores by metric; empty where there is no input.
        after: the output's.
        gain: `after - before` by metric, whatever end is the better one.
        improved: images whose first metric is better after than before.
        seconds: mean time of one restoration, None for finished outputs.
        tiles: mean number of tiles that the network has seen for an image.
        calibration: of the samples, over the values of all images; None for one sample.
        bits_per_dim: the likelihood bound of the ground truths and its terms; empty where it was not computed.
    """

    series: Series
    protocol: str
    images: int
    seeds: int
    before: dict[str, Summary]
    after: dict[str, Summary]
    gain: dict[str, Difference]
    improved: int
    seconds: float | None
    tiles: float
    calibration: Calibration | None = None
    bits_per_dim: dict[str, Summary] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The mean difference of scores, `first` minus `second`, on the images that both have restored."""

    data: str
    protocol: str
    metric: str
    first: str
    second: str
    difference: Difference
    first_better: int


def group(records: Iterable[Record]) -> dict[Series, list[Record]]:
    """Return the records with scores by series, in the order of their first appearance."""
    groups: dict[Series, list[Record]] = defaultdict(list)
    for record in records:
        if not record.failed:
            groups[Series(record.data, record.model, record.task)].append(record)
    return dict(groups)


def scores_by_image(records: Sequence[Record], side: str, protocol: str, metric: str) -> dict[str, float]:
    """Return name of the image to its score, the mean over seeds; `side` is `before` or `after`."""
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        scores: Scores = getattr(record, side)
        if metric in scores.get(protocol, {}):
            values[record.name].append(scores[protocol][metric])
    return {name: fmean(listed) for name, listed in values.items()}


def summarise_rows(records: Iterable[Record]) -> list[Row]:
    """Return a row for each series and protocol."""
    return [
        _row(series, members, protocol)
        for series, members in group(records).items()
        for protocol in dict.fromkeys(name for record in members for name in record.after)
    ]


def _row(series: Series, records: list[Record], protocol: str) -> Row:
    metrics = list(dict.fromkeys(name for record in records for name in record.after.get(protocol, {})))
    before, after, gain = {}, {}, {}
    improved = 0
    for metric in metrics:
        scores = scores_by_image(records, "after", protocol, metric)
        after[metric] = summarise(scores.values())
        inputs = scores_by_image(records, "before", protocol, metric)
        both = [name for name in scores if name in inputs]
        if not both:
            continue
        before[metric] = summarise(inputs.values())
        gain[metric] = paired_difference([scores[name] for name in both], [inputs[name] for name in both])
        if metric == metrics[0]:
            improved = sum(METRICS[metric].gain(inputs[name], scores[name]) > 0 for name in both)
    times = [record.seconds for record in records if record.seconds is not None]
    return Row(
        series,
        protocol,
        len({record.name for record in records}),
        len({record.seed for record in records}),
        before,
        after,
        gain,
        improved,
        fmean(times) if times else None,
        fmean(record.tiles for record in records),
        _calibration(records),
        _bits_per_dim(records),
    )


def _bits_per_dim(records: Sequence[Record]) -> dict[str, Summary]:
    """Return each term's mean over images, after the mean over seeds."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for term, bits in record.bits_per_dim.items():
            values[term][record.name].append(bits)
    return {term: summarise([fmean(bits) for bits in named.values()]) for term, named in values.items()}


def _calibration(records: Sequence[Record]) -> Calibration | None:
    """Return what the samples of all images say together."""
    found = [Calibration(**record.spread) for record in records if record.spread]
    if not found:
        return None
    whole = Calibration(found[0].samples, found[0].ks)
    for part in found:
        whole.merge(part)
    return whole


def compare_methods(records: Iterable[Record]) -> list[Comparison]:
    """Return the paired comparison of every two methods that restored the same images (of many: with the first)."""
    by_data: dict[str, dict[Series, list[Record]]] = defaultdict(dict)
    for series, members in group(records).items():
        by_data[series.data][series] = members
    found = []
    for data, groups in by_data.items():
        pairs = list(combinations(groups, 2))
        if len(groups) > MANY_METHODS:
            pairs = [pair for pair in pairs if pair[0] == next(iter(groups))]
        for first, second in pairs:
            found += _compare(data, first, groups[first], second, groups[second])
    return found


def _compare(data: str, first: Series, a: list[Record], second: Series, b: list[Record]) -> list[Comparison]:
    found = []
    for protocol in dict.fromkeys(name for record in a for name in record.after):
        for metric in dict.fromkeys(name for record in a for name in record.after.get(protocol, {})):
            ours, theirs = (scores_by_image(x, "after", protocol, metric) for x in (a, b))
            both = [name for name in ours if name in theirs]
            if not both:
                continue
            difference = paired_difference([ours[n] for n in both], [theirs[n] for n in both])
            better = sum(METRICS[metric].gain(theirs[n], ours[n]) > 0 for n in both)
            found.append(Comparison(data, protocol, metric, first.method, second.method, difference, better))
    return found


def gain_of(record: Record, protocol: str, metric: str) -> float:
    """Return how much better the record is after than before, positive where it is; NaN where that has no meaning."""
    after = record.after.get(protocol, {}).get(metric, math.nan)
    before = record.before.get(protocol, {}).get(metric, math.nan)
    difference = METRICS[metric].gain(before, after)
    return difference if math.isfinite(difference) else math.nan
