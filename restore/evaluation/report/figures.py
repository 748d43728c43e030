"""The figures of a report: how the gain is distributed, what it depends on, and which rows differ."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.ticker import MaxNLocator

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.drawing import FAINT, MARK, TEXT, ZERO, Drawing, abbreviated, new_figure
from restore.evaluation.report.result import Result, file_name
from restore.evaluation.scoring import gain_of

__all__ = ["ReportFigure", "calibration_figure", "draw_figures", "gain_histogram", "gain_scatter", "gains_figure"]

WIDTH, HEIGHT = 460, 300
MOST_POINTS = 1500
MARKERS = "osD^vP*X"


@dataclass(frozen=True)
class ReportFigure:
    """A drawing with the name of its file and the sentence below it."""

    name: str
    caption: str
    drawing: Drawing

    @cached_property
    def svg(self) -> str:
        """The drawing as an element of a page, made once for the pages before and after the images."""
        return self.drawing.to_svg(self.name)


def draw_figures(result: Result) -> list[ReportFigure]:
    """Return the figures of the first protocol: the gains of all rows, then two figures for each row."""
    figures: list[ReportFigure] = []
    if not result.rows:
        return figures
    protocol = result.protocols[0]
    rows = [row for row in result.rows if row.protocol == protocol]
    metric = next(iter(rows[0].after))
    several = [row for row in rows if row.gain.get(metric) is not None and row.gain[metric].mean is not None]
    if len(several) > 1:
        figures.append(gains_figure(result, protocol, metric))
    if any(row.calibration is not None for row in rows):
        figures.append(calibration_figure(result, protocol))
    for series, records in result.groups.items():
        points = [(r.name, r.before[protocol][metric], gain_of(r, protocol, metric)) for r in records if r.before]
        points = [point for point in points if math.isfinite(point[1]) and math.isfinite(point[2])]
        scores = [r.after[protocol][metric] for r in records if math.isfinite(r.after[protocol][metric])]
        where = result.title if len(result.groups) == 1 else f"{result.title}: {result.label(series)}"
        stem = file_name("-".join(part for part in (series.data, series.model, series.task) if part))
        if len(points) >= 2:
            gains = [gain for _, _, gain in points]
            figures.append(gain_histogram(gains, metric, protocol, where, f"gain-{stem}", gain=True))
            figures.append(gain_scatter(points, metric, protocol, where, f"scatter-{stem}"))
        elif len(scores) >= 2:
            figures.append(gain_histogram(scores, metric, protocol, where, f"scores-{stem}", gain=False))
    return figures


def gain_histogram(
    values: Sequence[float], metric: str, protocol: str, where: str, name: str, gain: bool
) -> ReportFigure:
    """Return how often each gain (or score) occurs; the dashed line is the mean, the red one no change."""
    known, mean = METRICS[metric], math.fsum(values) / len(values)
    low, high = (min(0.0, *values), max(0.0, *values)) if gain else (min(values), max(values))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    # edges are multiples of a round width, so that one of them is 0 where 0 lies between
    edges = MaxNLocator(max(5, min(30, round(2 * len(values) ** 0.5)))).tick_values(low, high)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    sentence = (
        f"{'Gain' if gain else 'Scores'} in {known.label} over {len(values)} restorations ({where}, protocol "
        f"{protocol}): from {known.text(min(values), gain)} to {known.text(max(values), gain)}, "
        f"mean {known.text(mean, gain)}."
    )
    titles = {}
    with new_figure(WIDTH, HEIGHT) as (figure, (axes,)):
        bars = axes.bar(edges[:-1], counts, width=0.94 * np.diff(edges), align="edge", color=MARK)
        for index, (bar, count) in enumerate(zip(bars, counts, strict=True)):
            bar.set_gid(f"bar-{index}")
            titles[f"bar-{index}"] = [f"{edges[index]:.3g} to {edges[index + 1]:.3g}: {count}"]
        if gain:
            axes.axvline(0, color=ZERO, linewidth=1.2)
        axes.axvline(mean, color=TEXT, linewidth=1.2, linestyle="--")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y")
        what = f"gain in {known.label_with_unit}" if gain else known.label_with_unit
        axes.set(title=abbreviated(where, 58), xlabel=what, ylabel="images")
    explained = " The dashed line is the mean, the red line no change." if gain else ""
    return ReportFigure(name, sentence + explained, Drawing(figure, sentence, titles))


def gain_scatter(
    points: Sequence[tuple[str, float, float]], metric: str, protocol: str, where: str, name: str
) -> ReportFigure:
    """Return the gain of each image (name, score of the input, gain) against the score of its input."""
    known = METRICS[metric]
    shown = list(points)
    if len(shown) > MOST_POINTS:
        shown = random.Random(0).sample(shown, MOST_POINTS)
    worse = sum(gain < 0 for _, _, gain in points)
    sentence = (
        f"Gain in {known.label} against the input's own score ({where}, protocol {protocol}): "
        f"{worse} of {len(points)} restorations lie below the red line, that is, became worse."
    )
    if len(points) > MOST_POINTS:
        sentence += f" {MOST_POINTS} of them are drawn."
    with new_figure(WIDTH, HEIGHT) as (figure, (axes,)):
        axes.axhline(0, color=ZERO, linewidth=1.2)
        size = 26 if len(shown) < 200 else 10
        inputs, gains = [before for _, before, _ in shown], [gain for _, _, gain in shown]
        axes.scatter(inputs, gains, s=size, color=MARK, alpha=0.75, linewidths=0, gid="images")
        axes.grid(axis="y")
        axes.set(title=abbreviated(where, 58), xlabel=f"{known.label} of the input{_unit(metric)}")
        axes.set_ylabel(f"gain{_unit(metric)}")
    titles = [f"{label}: {known.text(before)}, {known.text(gain, sign=True)}" for label, before, gain in shown]
    return ReportFigure(name, sentence, Drawing(figure, sentence, {"images": titles}))


def gains_figure(result: Result, protocol: str, metric: str) -> ReportFigure:
    """Return the mean gain of each row with its interval, one below the other."""
    known = METRICS[metric]
    rows = [row for row in result.rows if row.protocol == protocol and metric in row.gain]
    found = [(result.label(row.series), row.gain[metric]) for row in rows]
    gains = [(label, gain.mean, gain.low, gain.high) for label, gain in found if gain.mean is not None]
    sentence = f"Mean gain in {known.label} with its 95 % interval over images, protocol {protocol}."
    with new_figure(WIDTH + 260, 90 + 26 * len(gains)) as (figure, (axes,)):
        axes.axvline(0, color=ZERO, linewidth=1.2)
        for place, (_, mean, low, high) in enumerate(gains):
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=FAINT, linewidth=4, solid_capstyle="butt")
            axes.annotate(
                known.text(mean, sign=True), (1, place), xycoords=axes.get_yaxis_transform(), xytext=(6, 0),
                textcoords="offset points", va="center_baseline",
            )  # fmt: skip
        means = [mean for _, mean, _, _ in gains]
        axes.scatter(means, range(len(gains)), s=40, color=MARK, linewidths=0, zorder=3, gid="rows")
        axes.set_yticks(range(len(gains)), [abbreviated(label, 48) for label, *_ in gains])
        axes.set_ylim(len(gains) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.set_xlabel(f"gain in {known.label_with_unit}")
    titles = [f"{label}: {known.text(mean, sign=True)}" for label, mean, *_ in gains]
    return ReportFigure("gains", sentence, Drawing(figure, sentence, {"rows": titles}))


def calibration_figure(result: Result, protocol: str) -> ReportFigure:
    """Return how often the truth lies within k standard deviations, against how often it should."""
    found = [
        (result.label(row.series), row.calibration)
        for row in result.rows
        if row.protocol == protocol and row.calibration is not None
    ]
    sentence = (
        "Share of true values within 1, 2 and 3 standard deviations of the samples' mean, against the share that "
        "calibrated samples would have; below the dashed line the model is surer than it should be."
    )
    titles = {}
    with new_figure(WIDTH, HEIGHT) as (figure, (axes,)):
        axes.plot([0, 100], [0, 100], color=TEXT, linewidth=1.2, linestyle="--")
        for index, (label, calibration) in enumerate(found):
            shares = [(100 * expected, 100 * measured) for measured, expected in calibration.shares().values()]
            x, y = zip(*shares, strict=True)
            axes.plot((0, *x), (0, *y), color=FAINT, linewidth=2)
            mark = MARKERS[index % len(MARKERS)]
            name, gid = abbreviated(label, 40), f"row-{index}"
            axes.scatter(x, y, s=26, marker=mark, color=MARK, linewidths=0, zorder=3, gid=gid, label=name)
            titles[gid] = [f"{label}: {b:.1f} % where {a:.1f} % are expected" for a, b in shares]
        axes.legend(loc="upper left", frameon=False)
        axes.grid(axis="y")
        axes.set(title=abbreviated(result.title, 58), xlim=(0, 104), ylim=(0, 104))
        axes.set(xlabel="calibrated share (%)", ylabel="measured share (%)")
    return ReportFigure("calibration", sentence, Drawing(figure, sentence, titles))


def _unit(metric: str) -> str:
    return f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
