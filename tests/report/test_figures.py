"""Figures: every picture is in them, once."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.report import Result
from restore.report.drawing import Circle, Rectangle
from restore.report.figures import draw_figures, histogram, scatter

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
