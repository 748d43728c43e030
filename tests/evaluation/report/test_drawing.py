"""Drawings: round ticks, SVG that a browser can read, PNG that shows the same."""

from __future__ import annotations

import io
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore.evaluation.report.drawing import Circle, Drawing, Label, Line, Rectangle, ticks

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=finite, span=st.floats(1e-6, 1e6), count=st.integers(2, 30))
def test_ticks_are_round_evenly_spaced_and_inside(low: float, span: float, count: int) -> None:
    if low + span == low:
        return
    found = ticks(low, low + span, count)
    assert len(found) <= count + 1
    slack = 1e-6 * max(abs(low), span)
    assert all(low - slack <= value <= low + span + slack for value in found)
    if len(found) > 2:
        steps = np.diff(found)
        assert np.allclose(steps, steps[0], rtol=1e-3)
        mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - round_) for round_ in (1, 2, 2.5, 5, 10)) < 1e-2


def test_svg_is_well_formed_and_escapes_text() -> None:
    drawing = Drawing(100, 60, 'a "<description>"', [Label(5, 5, "<&>"), Rectangle(1, 2, 3, 4, title="a < b")])
    root = ElementTree.fromstring(drawing.to_svg())
    assert root.attrib["aria-label"] == 'a "<description>"'
    texts = [node.text for node in root.iter() if node.text]
    assert texts == ["<&>", "a < b"]


def test_png_shows_each_shape_where_it_is() -> None:
    shapes = [
        Line(10, 10, 90, 10, width=3),
        Rectangle(10, 20, 20, 20),
        Circle(60, 30, 8),
        Line(10, 55, 90, 55, dashed=True),
    ]
    with Image.open(io.BytesIO(Drawing(100, 60, "", shapes).to_png())) as image:
        assert image.size == (200, 120)
        dark = np.asarray(image.convert("L")) < 200
    assert dark[20, 100] and dark[60, 40] and dark[60, 120]
    assert not dark[30, 100] and not dark[60, 90] and not dark[90:105].any()
    dashes = dark[110, 20:180]
    assert 0.3 < dashes.mean() < 0.8


@pytest.mark.parametrize(
    ("anchor", "columns"), [("start", slice(100, 200)), ("end", slice(0, 101)), ("middle", slice(50, 150))]
)
def test_labels_stand_where_they_are_anchored(anchor: str, columns: slice) -> None:
    drawing = Drawing(100, 30, "", [Label(50, 20, "word", anchor)])  # type: ignore[arg-type]
    with Image.open(io.BytesIO(drawing.to_png())) as image:
        dark = np.asarray(image.convert("L")) < 128
    assert dark.any()
    outside = dark.copy()
    outside[:, columns] = False
    assert not outside.any()


def test_upright_labels_are_taller_than_wide() -> None:
    drawing = Drawing(60, 100, "", [Label(30, 50, "pictures", upright=True)])
    with Image.open(io.BytesIO(drawing.to_png())) as image:
        rows, columns = np.nonzero(np.asarray(image.convert("L")) < 128)
    assert np.ptp(rows) > 2 * np.ptp(columns)
    assert abs(rows.mean() - 100) < 8
