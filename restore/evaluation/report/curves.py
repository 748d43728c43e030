"""The course of a training run as a figure: the loss, and what it gains on held-out images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from restore.errors import DataError
from restore.evaluation.report.drawing import MARK, ZERO, Drawing, new_figure

__all__ = ["training_figure"]

WIDTH, HEIGHT = 900, 340
POINTS = 250
"""A long run is drawn as so many medians, as readable as a short one: single steps may have very high losses."""
MOST_GAIN = 50.0
"""In dB: an untouched image has a PSNR of its own kind, a drop from "identical" that would flatten all the rest."""


def training_figure(log: Sequence[dict[str, Any]], title: str) -> Drawing:
    """Return two panels: the median loss of each stretch of steps, and the gain in PSNR (dB) at each validation.

    Args:
        log: of `restore.training.trainer.read_log`, one document a step, with `step`, `loss` and `validation`.
        title: above the figure.

    Raises:
        DataError: the log is empty, or no loss is a finite number.
    """
    if not log:
        raise DataError("the log of the training run is empty")
    count = min(POINTS, len(log))
    parts = [log[len(log) * i // count : len(log) * (i + 1) // count] for i in range(count)]
    known = [(part[-1]["step"], [entry["loss"] for entry in part if math.isfinite(entry["loss"])]) for part in parts]
    loss = [(step, median(losses)) for step, losses in known if losses]
    if not loss:
        raise DataError("no loss of the training run is a finite number")
    gains = _gains(log)
    drawn = {name: line for name, line in gains.items() if all(abs(gain) < MOST_GAIN for _, gain in line)}
    left_out = _named("nothing to gain, not drawn: ", [name for name in gains if name not in drawn])
    shown = f"loss from {loss[0][1]:.4g} to {loss[-1][1]:.4g} in {log[-1]['step']} steps"
    few, many = len(log) // count, math.ceil(len(log) / count)
    stretch = f"{few}" if few == many else f"{few} or {many}"
    of_steps = f", median of {stretch} steps" if many > 1 else ""
    with new_figure(WIDTH, HEIGHT, columns=2 if gains else 1) as (figure, axes):
        dot = "o" if len(loss) == 1 else None
        axes[0].plot(*zip(*loss, strict=True), color=MARK, linewidth=1.2, marker=dot, label="loss")
        axes[0].set(title=f"{title}: loss{of_steps}", xlabel="step")
        axes[0].grid(axis="y")
        for right in axes[1:]:
            right.axhline(0, color=ZERO, linewidth=1.2)
            # listed from the best end to the worst, as the lines end
            for name, line in sorted(drawn.items(), key=lambda item: -item[1][-1][1]):
                right.plot(*zip(*line, strict=True), linewidth=1.2, marker="o", markersize=3.5, label=name)
            right.set(title="gain in PSNR (dB) on held-out images", xlabel=f"step\n{left_out}".rstrip())
            right.grid(axis="y")
            if drawn:
                right.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return Drawing(figure, f"{title}: {shown}" + (f"; gains {left_out}" if left_out else ""))


def _gains(log: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return (step, PSNR after less before) of each kind of validation image."""
    checks = [entry for entry in log if entry["validation"]]
    names = dict.fromkeys(name for entry in checks for name in entry["validation"])
    return {
        name: [
            (entry["step"], entry["validation"][name][1] - entry["validation"][name][0])
            for entry in checks
            if name in entry["validation"]
        ]
        for name in names
    }


def _named(what: str, names: Sequence[str], most: int = 3) -> str:
    """Return `what` and the names, the first ones of many; nothing where there is none."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return what + ", ".join(names[:most]) + more if names else ""
