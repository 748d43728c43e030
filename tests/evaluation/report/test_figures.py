"""Figures: every image is in them, once."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from restore.evaluation.report import Result
from restore.evaluation.report.figures import calibration_figure, draw_figures, gain_histogram, gain_scatter

gains = st.lists(st.floats(-5, 20), min_size=2, max_size=60)


def bars_of(values: list[float]) -> list[tuple[float, float, int]]:
    """Left and right edge of each bin, the gap between bars aside, and its height."""
    (axes,) = gain_histogram(values, "psnr", "rgb", "", "h", gain=True).drawing.figure.axes
    return [(bar.get_x(), bar.get_x() + bar.get_width() / 0.94, int(bar.get_height())) for bar in axes.patches]


@settings(max_examples=20, deadline=None)
@given(values=gains)
def test_a_histogram_counts_every_value_once_and_its_bins_part_at_zero(values: list[float]) -> None:
    found = bars_of(values)
    assert sum(count for _, _, count in found) == len(values)
    assert not any(low < -1e-6 and high > 1e-6 for low, high, _ in found)


def test_counts_equal_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400).tolist()
    found = bars_of(values)
    assert len(found) > 10
    for low, high, count in found:
        assert count == np.sum((np.array(values) >= low) & (np.array(values) < high))


def test_a_scatter_shows_every_image_and_says_how_many_became_worse() -> None:
    points = [(f"p{i}", 20.0 + i, gain) for i, gain in enumerate([3.0, 1.0, -0.5, 2.0])]
    figure = gain_scatter(points, "psnr", "rgb", "rain", "s")
    (axes,) = figure.drawing.figure.axes
    assert axes.collections[0].get_offsets().tolist() == [[before, gain] for _, before, gain in points]
    svg = figure.svg
    assert re.findall(r"<title>(p\d): ", svg) == ["p0", "p1", "p2", "p3"]
    assert "p2: 22.00 dB, -0.50 dB" in svg and "1 of 4 restorations lie below" in figure.caption


def test_a_large_set_is_thinned_and_says_so() -> None:
    points = [(str(i), float(i), 1.0) for i in range(5000)]
    figure = gain_scatter(points, "psnr", "rgb", "", "s")
    assert len(figure.drawing.figure.axes[0].collections[0].get_offsets()) == 1500
    assert "1500 of them are drawn" in figure.caption


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0], [1e-12, 2e-12]])
def test_equal_values_still_make_a_figure(values: list[float]) -> None:
    assert gain_histogram(values, "psnr", "rgb", "", "h", gain=True).drawing.to_png()
    assert gain_scatter([("a", 5.0, value) for value in values], "psnr", "rgb", "", "s").svg


def test_each_row_has_its_figures_under_names_of_their_own(result: Result) -> None:
    names = [figure.name for figure in draw_figures(result)]
    assert len(names) == len(set(names)) == 1 + 2 * 4
    assert names[0] == "gains" and all(re.fullmatch(r"[\w+.-]+", name) for name in names)


def test_the_gains_of_all_rows_stand_at_their_means_within_their_intervals(result: Result) -> None:
    figure = draw_figures(result)[0]
    (axes,) = figure.drawing.figure.axes
    rows = [row for row in result.rows if row.protocol == "native"]
    assert axes.collections[0].get_offsets()[:, 0].tolist() == pytest.approx([r.gain["psnr"].mean for r in rows])
    assert [label.get_text() for label in axes.get_yticklabels()] == [result.label(row.series) for row in rows]
    intervals = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 4]
    assert [tuple(ends) for ends in intervals] == [(row.gain["psnr"].low, row.gain["psnr"].high) for row in rows]


def test_calibration_is_drawn_at_what_is_expected_and_what_was_measured(result: Result) -> None:
    spread = {"samples": 4, "ks": [1.0, 2.0, 3.0], "inside": [30, 60, 90], "values": 120, "error": 1.0, "variance": 1.0}
    one = replace(result, records=[replace(record, spread=spread) for record in result.records[:1]])
    (axes,) = calibration_figure(one, "native").drawing.figure.axes
    found = axes.collections[0].get_offsets()
    expected = [100 * (2 * student.cdf(k / math.sqrt(1 + 1 / 4), df=3) - 1) for k in (1, 2, 3)]
    assert found[:, 0].tolist() == pytest.approx(expected, abs=0.01)
    assert found[:, 1].tolist() == pytest.approx([25.0, 50.0, 75.0])
    diagonal = axes.lines[0]
    assert diagonal.get_linestyle() == "--" and diagonal.get_xydata().tolist() == [[0, 0], [100, 100]]
