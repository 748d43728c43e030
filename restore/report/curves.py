"""The course of a training run as a figure: the loss, and what it gains on held-out pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from restore.errors import DataError
from restore.report.drawing import Circle, Drawing, Label, Line, ticks

__all__ = ["training_figure"]

WIDTH, HEIGHT = 900, 340
LEFT, TOP, BOTTOM, GAP = 66, 36, 48, 90
POINTS = 250
"""Steps are averaged to about so many points, so that a long run is as readable as a short one."""


def training_figure(log: Sequence[dict[str, Any]], title: str) -> Drawing:
    """Return two panels: the mean loss of each stretch of steps, and the gain in PSNR (dB) at each validation.

    Args:
        log: of `restore.train.read_log`, one document a step, with `step`, `loss` and `validation`.
        title: above the figure.

    Raises:
        DataError: the log is empty.
    """
    if not log:
        raise DataError("the log of the training run is empty")
    stretch = math.ceil(len(log) / POINTS)
    parts = [log[i : i + stretch] for i in range(0, len(log), stretch)]
    loss = [(part[-1]["step"], math.fsum(entry["loss"] for entry in part) / len(part)) for part in parts]
    checks = [entry for entry in log if entry["validation"]]
    names = list(dict.fromkeys(name for entry in checks for name in entry["validation"]))
    gains = {
        name: [
            (e["step"], e["validation"][name][1] - e["validation"][name][0]) for e in checks if name in e["validation"]
        ]
        for name in names
    }
    # an untouched picture has a PSNR of its own kind, a drop from "identical" that would flatten all the rest
    gains = {name: line for name, line in gains.items() if all(abs(gain) < 50 for _, gain in line)}
    shown = f"loss from {loss[0][1]:.4g} to {loss[-1][1]:.4g} in {log[-1]['step']} steps"
    drawing = Drawing(WIDTH, HEIGHT, f"{title}: {shown}")
    half = (WIDTH - GAP) / 2
    _panel(drawing, {"": loss}, LEFT, half, f"{title}: loss, mean of {stretch} steps")
    if any(gains.values()):
        _panel(drawing, gains, half + GAP, WIDTH - 90, "gain in PSNR (dB) on held-out pictures", zero=True)
    return drawing


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
    for name, line in lines.items():
        for (step1, value1), (step2, value2) in pairwise(line):
            add(Line(x(step1), y(value1), x(step2), y(value2), "mark", 1.5))
        if name:
            for step, value in line:
                add(Circle(x(step), y(value), 3, "mark", f"{name}, step {step}: {value:+.2f} dB"))
            add(Label(x(line[-1][0]) + 8, y(line[-1][1]) + 4, name, "start"))
