"""Simple drawings that become SVG for a page and PNG for everything else, from one description.

Coordinates are pixels from the upper left corner. A shape's role decides its colour: on a page through CSS classes
(so that a dark page draws light axes), in a PNG through `COLOURS`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Circle", "Drawing", "Label", "Line", "Rectangle", "Role", "ticks"]

Role = Literal["axis", "grid", "mark", "faint", "zero", "text", "mean"]
Anchor = Literal["start", "middle", "end"]

COLOURS: dict[str, str] = {
    "axis": "#5b6470",
    "grid": "#e3e6ea",
    "mark": "#2f6fb7",
    "faint": "#9dbfe3",
    "zero": "#b3401f",
    "mean": "#1d2630",
    "text": "#1d2630",
}
OVERSAMPLE = 2  # a PNG is drawn at twice the size


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    role: Role = "axis"
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Rectangle:
    """A filled rectangle; `title` is shown where the pointer rests."""

    x: float
    y: float
    width: float
    height: float
    role: Role = "mark"
    title: str = ""


@dataclass(frozen=True)
class Circle:
    """A filled circle; `title` is shown where the pointer rests."""

    x: float
    y: float
    radius: float
    role: Role = "mark"
    title: str = ""


@dataclass(frozen=True)
class Label:
    """A line of text whose baseline begins, is centred or ends at (x, y)."""

    x: float
    y: float
    text: str
    anchor: Anchor = "middle"
    size: int = 12
    upright: bool = False
    role: Role = "text"


@dataclass
class Drawing:
    """Shapes on a canvas; `description` tells somebody who cannot see it what it shows."""

    width: int
    height: int
    description: str
    shapes: list[Line | Rectangle | Circle | Label] = field(default_factory=list)

    def to_svg(self) -> str:
        """Return an `<svg>` element without colours of its own: its classes are `axis`, `mark`, ..."""
        parts = [
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.description)}" '
            f'class="figure" xmlns="http://www.w3.org/2000/svg">',
            *(_svg(shape) for shape in self.shapes),
            "</svg>",
        ]
        return "".join(parts)

    def to_png(self) -> bytes:
        """Return the drawing on white as a PNG of twice its size."""
        scale = OVERSAMPLE * 2
        image = Image.new("RGB", (self.width * scale, self.height * scale), "white")
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            _paint(image, pen, shape, scale)
        # drawn larger and reduced, since Pillow's own lines have stairs
        image = image.resize((self.width * OVERSAMPLE, self.height * OVERSAMPLE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return about `count` round numbers that lie in [low, high].

    >>> ticks(0.0, 10.0, 5)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    rough = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    places = max(0, 2 - math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, places) for index in range(first, last + 1)]


def _svg(shape: Line | Rectangle | Circle | Label) -> str:
    if isinstance(shape, Line):
        dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
        return (
            f'<line class="{shape.role}" x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}" '
            f'y2="{shape.y2:.1f}" stroke-width="{shape.width:g}"{dash}/>'
        )
    if isinstance(shape, Label):
        turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.upright else ""
        return (
            f'<text class="{shape.role}" x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}" '
            f'font-size="{shape.size}"{turn}>{escape(shape.text)}</text>'
        )
    title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
    if isinstance(shape, Circle):
        return (
            f'<circle class="{shape.role}" cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}">{title}</circle>'
        )
    return (
        f'<rect class="{shape.role}" x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
        f'height="{shape.height:.1f}">{title}</rect>'
    )


def _paint(image: Image.Image, pen: ImageDraw.ImageDraw, shape: Line | Rectangle | Circle | Label, scale: int) -> None:
    colour = COLOURS[shape.role]
    if isinstance(shape, Line):
        ends = [(shape.x1 * scale, shape.y1 * scale), (shape.x2 * scale, shape.y2 * scale)]
        for start, stop in _dashes(ends, scale) if shape.dashed else [ends]:
            pen.line([start, stop], fill=colour, width=max(1, round(shape.width * scale)))
    elif isinstance(shape, Rectangle):
        right, lower = (shape.x + shape.width) * scale - 1, (shape.y + shape.height) * scale - 1
        if right >= shape.x * scale and lower >= shape.y * scale:
            pen.rectangle([shape.x * scale, shape.y * scale, right, lower], fill=colour)
    elif isinstance(shape, Circle):
        r = shape.radius
        box = [(shape.x - r) * scale, (shape.y - r) * scale, (shape.x + r) * scale, (shape.y + r) * scale]
        pen.ellipse(box, fill=colour)
    else:
        _write(image, pen, shape, scale, colour)


def _dashes(ends: Sequence[tuple[float, float]], scale: int) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    (x1, y1), (x2, y2) = ends
    length = math.hypot(x2 - x1, y2 - y1)
    count = max(1, int(length / (9 * scale)))
    found = []
    for index in range(count):
        a, b = index / count, (index + 0.55) / count
        found.append(((x1 + a * (x2 - x1), y1 + a * (y2 - y1)), (x1 + b * (x2 - x1), y1 + b * (y2 - y1))))
    return found


def _write(image: Image.Image, pen: ImageDraw.ImageDraw, label: Label, scale: int, colour: str) -> None:
    font = ImageFont.load_default(label.size * scale)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[label.anchor]
    if not label.upright:
        pen.text((label.x * scale, label.y * scale), label.text, fill=colour, font=font, anchor=anchor)
        return
    left, top, right, bottom = (math.ceil(edge) for edge in font.getbbox(label.text, anchor="ls"))
    strip = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(strip).text((-left, -top), label.text, fill=255, font=font, anchor="ls")
    strip = strip.rotate(90, expand=True)
    shift = {"start": strip.height, "middle": strip.height / 2, "end": 0}[label.anchor]
    place = (round(label.x * scale + top), round(label.y * scale - shift))
    image.paste(Image.new("RGB", strip.size, colour), place, strip)
