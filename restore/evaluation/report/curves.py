"""The course of a training run as a figure: the loss, and what it gains on held-out pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from restore.errors import DataError
from restore.evaluation.report.drawing import Circle, Drawing, Label, Line, ticks

__all__ = ["training_figure"]

WIDTH, HEIGHT = 900, 340
LEFT, TOP, BOTTOM, GAP = 66, 46, 48, 90
APART = 14  # pixels from a label to the next one below it
LETTER = 6.8  # pixels that a letter of a label takes at most, on average
POINTS = 250
"""A long run is drawn as so many medians, as readable as a short one: single steps may have very high losses."""
MOST_GAIN = 50.0
"""In dB: an untouched picture has a PSNR of its own kind, a drop from "identical" that would flatten all the rest."""


def training_figure(log: Sequence[dict[str, Any]], title: str) -> Drawing:
    """Return two panels: the median loss of each stretch of steps, and the gain in PSNR (dB) at each validation.

    Args:
        log: of `restore.training.trainer.read_log`, one document a step, with `step`, `loss` and `validation`.
        title: above the figure.

    Raises:
        DataError: the log is empty.
    """
    if not log:
        raise DataError("the log of the training run is empty")
    count = min(POINTS, len(log))
    parts = [log[len(log) * i // count : len(log) * (i + 1) // count] for i in range(count)]
    known = [(part[-1]["step"], [entry["loss"] for entry in part if math.isfinite(entry["loss"])]) for part in parts]
    loss = [(step, median(losses)) for step, losses in known if losses]
    if not loss:
        raise DataError("no loss of the training run is a finite number")
    checks = [entry for entry in log if entry["validation"]]
    names = list(dict.fromkeys(name for entry in checks for name in entry["validation"]))
    gains = {
        name: [
            (e["step"], e["validation"][name][1] - e["validation"][name][0]) for e in checks if name in e["validation"]
        ]
        for name in names
    }
    drawn = {name: line for name, line in gains.items() if all(abs(gain) < MOST_GAIN for _, gain in line)}
    left_out = _named("nothing to gain, not drawn: ", [name for name in gains if name not in drawn])
    shown = f"loss from {loss[0][1]:.4g} to {loss[-1][1]:.4g} in {log[-1]['step']} steps"
    drawing = Drawing(WIDTH, HEIGHT, f"{title}: {shown}" + (f"; gains {left_out}" if left_out else ""))
    half = (WIDTH - GAP) / 2
    few, many = len(log) // count, math.ceil(len(log) / count)
    stretch = f"{few}" if few == many else f"{few} or {many}"
    of_steps = f", median of {stretch} steps" if many > 1 else ""
    _panel(drawing, {"": loss}, LEFT, half, f"{title}: loss{of_steps}")
    if gains:
        drawing.shapes.append(Label(half + GAP, 20, "gain in PSNR (dB) on held-out pictures", "start", 13))
        drawing.shapes += [Label(half + GAP, 36, left_out, "start", 11)] if left_out else []
    if drawn:
        room = 16 + LETTER * max(map(len, drawn))
        _panel(drawing, drawn, half + GAP, WIDTH - room, "", zero=True)
    return drawing


def _named(what: str, names: Sequence[str], most: int = 3) -> str:
    """Return `what` and the names, the first ones of many; nothing where there is none."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return what + ", ".join(names[:most]) + more if names else ""


def _apart(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Return heights in the same order, moved as little as needed to be `APART` from each other and inside.

    >>> _apart([50.0, 10.0, 52.0], 0.0, 60.0)
    [46.0, 10.0, 60.0]
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    found, least = list(heights), top
    for index in order:
        found[index] = max(found[index], least)
        least = found[index] + APART
    most = bottom
    for index in reversed(order):
        found[index] = min(found[index], most)
        most = found[index] - APART
    return found


def _panel(
    drawing: Drawing,
    lines: dict[str, list[tuple[int, float]]],
    left: float,
    right: float,
    title: str,
    zero: bool = False,
) -> None:
    add = drawing.shapes.append
    bottom = HEIGHT - BOTTOM
    points = [point for line in lines.values() for point in line]
    last = max(step for step, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(step: float) -> float:
        return left + step / last * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    if title:
        add(Label(left, 20, title, "start", 13))
    for value in ticks(low, high, 5):
        add(Line(left, y(value), right, y(value), "grid"))
        add(Label(left - 7, y(value) + 4, f"{value:.4g}", "end"))
    for step in ticks(0, last, 5):
        add(Label(x(step), bottom + 18, f"{step:g}"))
    add(Line(left, bottom, right, bottom))
    add(Label((left + right) / 2, HEIGHT - 10, "step"))
    if zero:
        add(Line(left, y(0), right, y(0), "zero", 1.5))
    ends = _apart([y(line[-1][1]) for line in lines.values()], TOP, bottom)
    for (name, line), end in zip(lines.items(), ends, strict=True):
        for (step1, value1), (step2, value2) in pairwise(line):
            add(Line(x(step1), y(value1), x(step2), y(value2), "mark", 1.5))
        if name:
            for step, value in line:
                add(Circle(x(step), y(value), 3, "mark", f"{name}, step {step}: {value:+.2f} dB"))
            add(Label(right + 8, end + 4, name, "start"))
        elif len(line) == 1:
            add(Circle(x(line[0][0]), y(line[0][1]), 3, "mark", f"step {line[0][0]}: {line[0][1]:.4g}"))
