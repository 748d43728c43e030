"""Figures of matplotlib: as SVG that takes a page's colors and whose text can be searched, and as PNG.

Drawn through matplotlib's objects alone: no window, no state of pyplot, and the same bytes for the same numbers.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["AXIS", "FAINT", "GRID", "MARK", "TEXT", "ZERO", "Drawing", "abbreviated", "new_figure"]

AXIS, GRID, MARK, FAINT, ZERO, TEXT = "#5b6470", "#e3e6ea", "#2f6fb7", "#9dbfe3", "#b3401f", "#1d2630"
ON_A_PAGE = {AXIS: "--soft", GRID: "--line", MARK: "--accent", FAINT: "--accent-soft", ZERO: "--bad", TEXT: "--text"}
"""The variable of page.css that stands for each color, so that a dark page draws light axes."""

DPI = 100  # of the sizes in pixels; a PNG has twice as many
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": TEXT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titlecolor": TEXT,
    "font.size": 8.5,
    "grid.color": GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "restore",
    "text.color": TEXT,
    "text.parse_math": False,  # a file may be named $x$
    "xtick.color": AXIS,
    "xtick.labelcolor": TEXT,
    "ytick.color": AXIS,
    "ytick.labelcolor": TEXT,
    "ytick.left": False,
}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # a name in letters that the font lacks shows boxes in a PNG, and is whole on the page
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


@contextmanager
def new_figure(width: int, height: int, columns: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure of so many pixels and its axes, side by side, to be drawn on inside of the context."""
    with _style():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


@dataclass(frozen=True)
class Drawing:
    """A figure, what it shows in one sentence for who cannot see it, and texts where the pointer rests.

    `titles`: of each mark of the artists with a `gid`, by that gid.
    """

    figure: Figure
    description: str
    titles: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_png(self) -> bytes:
        """Return the drawing on white as a PNG of twice its size."""
        buffer = io.BytesIO()
        with _style():
            self.figure.savefig(buffer, format="png", dpi=2 * DPI, metadata={"Software": None})
        return buffer.getvalue()

    def to_svg(self, name: str = "") -> str:
        """Return an `<svg>` element; `name` sets its identifiers apart from those of other figures on a page."""
        buffer = io.StringIO()
        with _style():
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        root = ElementTree.fromstring(buffer.getvalue())
        for group in root.iter(f"{SVG}g"):
            self._add_titles(group)
        for element in root.iter():
            # the style would apply to the whole page, and metadata say nothing of the numbers
            for child in [child for child in element if child.tag in (f"{SVG}metadata", f"{SVG}style")]:
                element.remove(child)
            for key, value in element.attrib.items():
                if key == "id":
                    element.set(key, f"{name}-{value}")
                elif key == LINK:
                    element.set(key, f"#{name}-{value.removeprefix('#')}")
                elif "url(#" in value:
                    element.set(key, value.replace("url(#", f"url(#{name}-"))
        for key in ("width", "height"):
            root.attrib.pop(key)
        root.attrib |= {"class": "figure", "role": "img", "aria-label": self.description}
        ElementTree.register_namespace("", SVG[1:-1])
        ElementTree.register_namespace("xlink", LINK[1:].partition("}")[0])
        text = ElementTree.tostring(root, encoding="unicode")
        for color, variable in ON_A_PAGE.items():
            text = text.replace(color, f"var({variable})")
        return text

    def _add_titles(self, group: ElementTree.Element) -> None:
        titles = self.titles.get(group.get("id", ""), ())
        marks = list(group.iter(f"{SVG}use")) or list(group.iter(f"{SVG}path"))
        for mark, title in zip(marks, titles, strict=False):
            ElementTree.SubElement(mark, f"{SVG}title").text = title


def abbreviated(text: str, limit: int) -> str:
    """Return a text of at most `limit` letters.

    >>> abbreviated("photographs of a garden", 12)
    'photograp...'
    """
    return text if len(text) <= limit else text[: limit - 3] + "..."
