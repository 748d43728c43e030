"""A contact sheet of a data set, to check at a glance that its pairs match."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from restore.data.joined import File, decode
from restore.data.pairs import Pair
from restore.errors import DataError, ImageError

__all__ = ["preview"]

MARGIN, LABEL = 8, 16
PAPER, INK, DAMAGED = (250, 250, 250), (40, 40, 40), (200, 120, 120)


def preview(pairs: Sequence[Pair], *, count: int = 12, size: int = 240, columns: int = 3) -> Image.Image:
    """Return a sheet of `count` pairs spread evenly over the set: input and target side by side, the name below.

    A damaged image is shown as a red tile; clean sets show one image a cell.

    Raises:
        DataError: there are no pairs.
    """
    if not pairs:
        raise DataError("there are no images to preview")
    count = min(count, len(pairs))
    chosen = [pairs[index * len(pairs) // count] for index in range(count)]
    columns = min(columns, count)
    paired = any(pair.input is not None for pair in chosen)
    width = (2 * size + 2 if paired else size) + MARGIN
    height = size + LABEL + MARGIN
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, pair in enumerate(chosen):
        left, top = MARGIN + index % columns * width, MARGIN + index // columns * height
        files = [path for path in (pair.input, pair.target) if path is not None]
        for place, path in enumerate(files):
            tile = _tile(path, size)
            x = left + place * (size + 2) + (size - tile.width) // 2
            sheet.paste(tile, (x, top + (size - tile.height) // 2))
        draw.text((left, top + size + 1), pair.name[-40:].encode("ascii", "replace").decode(), fill=INK)
    return sheet


def _tile(path: File, size: int) -> Image.Image:
    try:
        photo = decode(path)
    except ImageError:
        return Image.new("RGB", (size, size), DAMAGED)
    image = Image.fromarray(photo.permute(1, 2, 0).numpy())
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return image
