"""Drawings: SVG that a page can take in, PNG that shows the same, both the same at every call."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from restore.evaluation.report import drawing
from restore.evaluation.report.drawing import MARK, ON_A_PAGE, Drawing, new_figure

SVG = "{http://www.w3.org/2000/svg}"


def dots(label: str = "gain", title: str = "a < b") -> Drawing:
    with new_figure(100, 60) as (figure, (axes,)):
        axes.scatter([1, 2, 3], [1, 2, 3], color=MARK, gid="images")
        axes.set_title(label)
    return Drawing(figure, 'a "<description>"', {"images": ["first", title, "third"]})


def test_svg_is_well_formed_searchable_and_tells_what_it_shows() -> None:
    root = ElementTree.fromstring(dots("<&> $x$ größer").to_svg("one"))
    assert root.attrib["aria-label"] == 'a "<description>"' and root.attrib["role"] == "img"
    assert [node.text for node in root.iter(f"{SVG}title")] == ["first", "a < b", "third"]
    assert "<&> $x$ größer" in [node.text for node in root.iter(f"{SVG}text")]
    assert not list(root.iter(f"{SVG}metadata")) and not list(root.iter(f"{SVG}style"))


def test_identifiers_and_references_belong_to_one_figure() -> None:
    text = dots().to_svg("one") + dots().to_svg("two")
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names)) and all(name.startswith(("one-", "two-")) for name in names)
    used = re.findall(r'href="#([^"]+)"', text) + re.findall(r"url\(#([^)]+)\)", text)
    assert used and set(used) <= set(names)


def test_colors_are_those_of_the_page_and_of_its_style_sheet() -> None:
    svg = dots().to_svg()
    assert MARK not in svg and "fill: var(--accent)" in svg
    css = (Path(drawing.__file__).parent / "assets" / "page.css").read_text(encoding="utf-8")
    assert all(f"{variable}:" in css for variable in ON_A_PAGE.values())


def test_the_same_drawing_is_the_same_bytes_and_no_setting_stays_behind() -> None:
    before = dict(matplotlib.rcParams)
    assert dots().to_svg() == dots().to_svg() and dots().to_png() == dots().to_png()
    assert dict(matplotlib.rcParams) == before


def test_png_shows_the_marks_at_twice_the_size() -> None:
    with Image.open(io.BytesIO(dots().to_png())) as image:
        assert image.size == (200, 120)
        blue = (np.asarray(image.convert("RGB")).astype(int) - (47, 111, 183)).__abs__().sum(-1) < 30
    assert blue.any() and not blue[:, :20].any()


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = dots("山の写真", "山")
        assert figure.to_png() and "山の写真" in figure.to_svg()
