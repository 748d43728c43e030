"""The figures of a report: how the gain is distributed, what it depends on, and which rows differ."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.drawing import Circle, Drawing, Label, Line, Rectangle, ticks
from restore.evaluation.report.naming import file_name
from restore.evaluation.report.result import Result
from restore.evaluation.scoring import gain_of

__all__ = ["Figure", "calibration", "draw_figures", "forest", "histogram", "scatter"]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 48
MOST_POINTS = 1500


@dataclass(frozen=True)
class Figure:
    """A drawing with the name of its file and the sentence below it."""

    name: str
    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class Axis:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def draw_figures(result: Result) -> list[Figure]:
    """Return the figures of the first protocol: the gains of all rows, then two figures for each row."""
    figures: list[Figure] = []
    if not result.rows:
        return figures
    protocol = result.protocols[0]
    rows = [row for row in result.rows if row.protocol == protocol]
    metric = next(iter(rows[0].after))
    several = [row for row in rows if row.gain.get(metric) is not None and row.gain[metric].mean is not None]
    if len(several) > 1:
        figures.append(forest(result, protocol, metric))
    if any(row.calibration is not None for row in rows):
        figures.append(calibration(result, protocol))
    for series, records in result.groups.items():
        points = [(r.name, r.before[protocol][metric], gain_of(r, protocol, metric)) for r in records if r.before]
        points = [point for point in points if math.isfinite(point[1]) and math.isfinite(point[2])]
        scores = [r.after[protocol][metric] for r in records if math.isfinite(r.after[protocol][metric])]
        where = result.title if len(result.groups) == 1 else f"{result.title}: {result.label(series)}"
        stem = file_name("-".join(part for part in (series.data, series.model, series.task) if part))
        if len(points) >= 2:
            figures.append(histogram([g for _, _, g in points], metric, protocol, where, f"gain-{stem}", gain=True))
            figures.append(scatter(points, metric, protocol, where, f"scatter-{stem}"))
        elif len(scores) >= 2:
            figures.append(histogram(scores, metric, protocol, where, f"scores-{stem}", gain=False))
    return figures


def histogram(values: Sequence[float], metric: str, protocol: str, where: str, name: str, gain: bool) -> Figure:
    """Return how often each gain (or score) occurs; the dashed line is the mean, the red one no change."""
    low, high = min(values), max(values)
    if gain:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    count = max(5, min(30, round(2 * len(values) ** (1 / 2))))
    edges = _edges(low, high, count)
    counts = [0] * (len(edges) - 1)
    step = edges[1] - edges[0]
    for value in values:
        counts[min(len(counts) - 1, max(0, int((value - edges[0]) / step)))] += 1
    unit = f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
    what = f"gain in {METRICS[metric].label}{unit}" if gain else f"{METRICS[metric].label}{unit}"
    x = Axis(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Axis(0, max(counts) * 1.08, HEIGHT - BOTTOM, TOP)
    mean = math.fsum(values) / len(values)
    sentence = (
        f"{'Gain' if gain else 'Scores'} in {METRICS[metric].label} over {len(values)} restorations "
        f"({where}, protocol {protocol}): "
        f"from {_fixed(min(values), metric, gain)} to {_fixed(max(values), metric, gain)}, "
        f"mean {_fixed(mean, metric, gain)}."
    )
    drawing = _frame(x, y, where, what, "pictures", sentence, whole=True)
    for index, number in enumerate(counts):
        if number:
            left, right = x(edges[index]), x(edges[index + 1])
            title = f"{edges[index]:.3g} to {edges[index + 1]:.3g}: {number}"
            drawing.shapes.append(Rectangle(left + 0.7, y(number), right - left - 1.4, y(0) - y(number), "mark", title))
    if gain:
        drawing.shapes.append(Line(x(0), TOP, x(0), HEIGHT - BOTTOM, "zero", 1.5))
    drawing.shapes.append(Line(x(mean), TOP, x(mean), HEIGHT - BOTTOM, "mean", 1.5, dashed=True))
    return Figure(name, sentence + (" The dashed line is the mean, the red line no change." if gain else ""), drawing)


def scatter(points: Sequence[tuple[str, float, float]], metric: str, protocol: str, where: str, name: str) -> Figure:
    """Return the gain of each picture (name, score of the input, gain) against the score of its input."""
    shown = list(points)
    if len(shown) > MOST_POINTS:
        shown = random.Random(0).sample(shown, MOST_POINTS)
    inputs, gains = [p[1] for p in shown], [p[2] for p in shown]
    x = Axis(*_wider(min(inputs), max(inputs)), LEFT, WIDTH - RIGHT)
    y = Axis(*_wider(min(0.0, *gains), max(0.0, *gains)), HEIGHT - BOTTOM, TOP)
    unit = f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
    worse = sum(gain < 0 for _, _, gain in points)
    sentence = (
        f"Gain in {METRICS[metric].label} against the input's own score ({where}, protocol {protocol}): "
        f"{worse} of {len(points)} restorations lie below the red line, that is, became worse."
    )
    if len(points) > MOST_POINTS:
        sentence += f" {MOST_POINTS} of them are drawn."
    drawing = _frame(x, y, where, f"{METRICS[metric].label} of the input{unit}", f"gain{unit}", sentence)
    drawing.shapes.append(Line(LEFT, y(0), WIDTH - RIGHT, y(0), "zero", 1.5))
    radius = 4 if len(shown) < 200 else 2.5
    for label, before, gain in shown:
        title = f"{label}: {_fixed(before, metric)}, {_fixed(gain, metric, True)}"
        drawing.shapes.append(Circle(x(before), y(gain), radius, "mark", title))
    return Figure(name, sentence, drawing)


def forest(result: Result, protocol: str, metric: str) -> Figure:
    """Return the mean gain of each row with its interval, one below the other."""
    rows = [row for row in result.rows if row.protocol == protocol and metric in row.gain]
    rows = [row for row in rows if row.gain[metric].mean is not None]
    bounds = [0.0]
    for row in rows:
        gain = row.gain[metric]
        bounds += [value for value in (gain.mean, gain.low, gain.high) if value is not None]
    labels = [result.label(row.series) for row in rows]
    left = min(330, 24 + 6.6 * max(len(label) for label in labels))
    width, height = WIDTH + 260, TOP + BOTTOM + 26 * len(rows)
    x = Axis(*_wider(min(bounds), max(bounds)), left, width - RIGHT - 60)
    unit = f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
    sentence = f"Mean gain in {METRICS[metric].label} with its 95 % interval over pictures, protocol {protocol}."
    drawing = Drawing(width, height, sentence)
    bottom = height - BOTTOM
    for value in ticks(x.low, x.high):
        drawing.shapes.append(Line(x(value), TOP - 8, x(value), bottom, "grid"))
        drawing.shapes.append(Label(x(value), bottom + 17, f"{value:g}"))
    drawing.shapes.append(Line(x(0), TOP - 8, x(0), bottom, "zero", 1.5))
    drawing.shapes.append(Label((x.start + x.stop) / 2, height - 10, f"gain in {METRICS[metric].label}{unit}"))
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        gain, middle = row.gain[metric], TOP + 26 * index + 9
        assert gain.mean is not None
        if gain.low is not None and gain.high is not None:
            drawing.shapes.append(Line(x(gain.low), middle, x(gain.high), middle, "faint", 5))
        drawing.shapes.append(Circle(x(gain.mean), middle, 5, "mark", f"{label}: {_fixed(gain.mean, metric, True)}"))
        drawing.shapes.append(Label(left - 12, middle + 4, _short(label, 48), "end"))
        drawing.shapes.append(Label(width - RIGHT, middle + 4, _fixed(gain.mean, metric, True), "end"))
    return Figure("gains", sentence, drawing)


def calibration(result: Result, protocol: str) -> Figure:
    """Return how often the truth lies within k standard deviations, against how often it should."""
    rows = [row for row in result.rows if row.protocol == protocol and row.calibration is not None]
    x, y = Axis(0, 100, LEFT, WIDTH - RIGHT), Axis(0, 100, HEIGHT - BOTTOM, TOP)
    sentence = (
        "Share of true values within 1, 2 and 3 standard deviations of the samples' mean, against the share that "
        "calibrated samples would have; below the dashed line the model is surer than it should be."
    )
    drawing = _frame(x, y, result.title, "calibrated share (%)", "measured share (%)", sentence)
    drawing.shapes.append(Line(x(0), y(0), x(100), y(100), "mean", 1.5, dashed=True))
    for row in rows:
        assert row.calibration is not None
        points = [(100 * expected, 100 * measured) for measured, expected in row.calibration.shares().values()]
        for (x1, y1), (x2, y2) in pairwise([(0.0, 0.0), *points]):
            drawing.shapes.append(Line(x(x1), y(y1), x(x2), y(y2), "faint", 2))
        for expected, measured in points:
            title = f"{result.label(row.series)}: {measured:.1f} % where {expected:.1f} % are expected"
            drawing.shapes.append(Circle(x(expected), y(measured), 4, "mark", title))
        drawing.shapes.append(
            Label(x(points[-1][0]) - 6, y(points[-1][1]) - 8, _short(result.label(row.series), 40), "end")
        )
    return Figure("calibration", sentence, drawing)


def _frame(x: Axis, y: Axis, title: str, below: str, beside: str, sentence: str, whole: bool = False) -> Drawing:
    """Return axes with ticks; `whole` leaves out ticks between whole numbers."""
    drawing = Drawing(WIDTH, HEIGHT, sentence)
    bottom = HEIGHT - BOTTOM
    add = drawing.shapes.append
    add(Label(LEFT, 20, _short(title, 58), "start", 13))
    for value in ticks(y.low, y.high, 5):
        if whole and value != int(value):
            continue
        add(Line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"))
        add(Label(LEFT - 7, y(value) + 4, f"{value:g}", "end"))
    for value in ticks(x.low, x.high):
        add(Line(x(value), bottom, x(value), bottom + 4))
        add(Label(x(value), bottom + 18, f"{value:g}"))
    add(Line(LEFT, bottom, WIDTH - RIGHT, bottom))
    add(Label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, below))
    add(Label(15, (TOP + bottom) / 2, beside, upright=True))
    return drawing


def _edges(low: float, high: float, count: int) -> list[float]:
    """Return the edges of about `count` bins of a round width, one of them at 0 where 0 lies between."""
    marks = ticks(low, high, count)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def _wider(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _fixed(value: float, metric: str, sign: bool = False) -> str:
    unit = f" {METRICS[metric].unit}" if METRICS[metric].unit else ""
    return f"{value:{'+' if sign else ''}.{METRICS[metric].decimals}f}{unit}"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
