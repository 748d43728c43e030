"""Figures: every picture is in them, once."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from restore.evaluation.report import Result
from restore.evaluation.report.drawing import Circle, Line, Rectangle
from restore.evaluation.report.figures import calibration, draw_figures, histogram, scatter

gains = st.lists(st.floats(-5, 20), min_size=2, max_size=60)


@given(values=gains)
def test_a_histogram_counts_every_value_once_and_its_bins_part_at_zero(values: list[float]) -> None:
    bars = [s for s in histogram(values, "psnr", "rgb", "", "h", gain=True).drawing.shapes if isinstance(s, Rectangle)]
    found = [re.fullmatch(r"(\S+) to (\S+): (\d+)", bar.title) for bar in bars]
    assert sum(int(match.group(3)) for match in found if match) == len(values)
    assert not any(match and float(match.group(1)) < -1e-6 and float(match.group(2)) > 1e-6 for match in found)


def test_counts_equal_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400).tolist()
    bars = [s for s in histogram(values, "psnr", "rgb", "", "h", gain=True).drawing.shapes if isinstance(s, Rectangle)]
    titles = [re.fullmatch(r"(\S+) to (\S+): (\d+)", bar.title) for bar in bars]
    counted = [(float(m.group(1)), float(m.group(2)), int(m.group(3))) for m in titles if m]
    assert len(counted) == len(bars) > 10
    for low, high, count in counted:
        assert count == np.sum((np.array(values) >= low) & (np.array(values) < high))


def test_a_scatter_shows_every_picture_and_says_how_many_became_worse() -> None:
    points = [(f"p{i}", 20.0 + i, gain) for i, gain in enumerate([3.0, 1.0, -0.5, 2.0])]
    figure = scatter(points, "psnr", "rgb", "rain", "s")
    dots = [shape for shape in figure.drawing.shapes if isinstance(shape, Circle)]
    assert [dot.title.partition(":")[0] for dot in dots] == ["p0", "p1", "p2", "p3"]
    assert all(a.x < b.x for a, b in pairwise(dots))
    assert dots[0].y < dots[3].y < dots[1].y < dots[2].y
    assert "1 of 4 restorations lie below" in figure.caption


def test_a_large_set_is_thinned_and_says_so() -> None:
    points = [(str(i), float(i), 1.0) for i in range(5000)]
    figure = scatter(points, "psnr", "rgb", "", "s")
    dots = [shape for shape in figure.drawing.shapes if isinstance(shape, Circle)]
    assert len(dots) == 1500 and "1500 of them are drawn" in figure.caption


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0], [1e-12, 2e-12]])
def test_equal_values_still_make_a_figure(values: list[float]) -> None:
    assert histogram(values, "psnr", "rgb", "", "h", gain=True).drawing.to_png()
    assert scatter([("a", 5.0, value) for value in values], "psnr", "rgb", "", "s").drawing.to_svg()


def test_each_row_has_its_figures_under_names_of_their_own(result: Result) -> None:
    names = [figure.name for figure in draw_figures(result)]
    assert len(names) == len(set(names)) == 1 + 2 * 4
    assert names[0] == "gains" and all(re.fullmatch(r"[\w+.-]+", name) for name in names)


def test_calibration_is_drawn_at_what_is_expected_and_what_was_measured(result: Result) -> None:
    spread = {"samples": 4, "ks": [1.0, 2.0, 3.0], "inside": [30, 60, 90], "values": 120, "error": 1.0, "variance": 1.0}
    one = replace(result, records=[replace(record, spread=spread) for record in result.records[:1]])
    drawing = calibration(one, "native").drawing
    (diagonal,) = [shape for shape in drawing.shapes if isinstance(shape, Line) and shape.dashed]
    dots = [shape for shape in drawing.shapes if isinstance(shape, Circle)]
    # the diagonal goes from (0, 0) to (100, 100), whatever the margins are
    found = [
        (
            100 * (dot.x - diagonal.x1) / (diagonal.x2 - diagonal.x1),
            100 * (dot.y - diagonal.y1) / (diagonal.y2 - diagonal.y1),
        )
        for dot in dots
    ]
    expected = [100 * (2 * student.cdf(k / math.sqrt(1 + 1 / 4), df=3) - 1) for k in (1, 2, 3)]
    assert [x for x, _ in found] == pytest.approx(expected, abs=0.01)
    assert [y for _, y in found] == pytest.approx([25.0, 50.0, 75.0])
    assert diagonal.x2 > diagonal.x1 and diagonal.y2 < diagonal.y1
