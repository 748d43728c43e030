"""Pictures side by side under captions, as one image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from restore.errors import ArrayError
from restore.images.raster import Raster
from restore.images.values import to_array

__all__ = ["side_by_side"]

GAP = 8
BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)


def side_by_side(pictures: Sequence[Raster], labels: Sequence[str]) -> Image.Image:
    """Return an 8-bit RGB image of the pictures from left to right, at their own sizes, each under its label.

    Alpha is laid over white; the profile is kept when all pictures share it and none is gray.

    Raises:
        ArrayError: no pictures, or not as many labels as pictures.
    """
    if not pictures or len(pictures) != len(labels):
        raise ArrayError(
            f"a comparison needs one label per picture, got {len(pictures)} pictures, {len(labels)} labels"
        )
    height = max(picture.height for picture in pictures)
    font = ImageFont.load_default(min(48, max(12, height // 24)))
    boxes = [font.getbbox(label) for label in labels]
    caption = int(max(box[3] for box in boxes)) + GAP
    widths = [max(picture.width, int(box[2])) for picture, box in zip(pictures, boxes, strict=True)]
    canvas = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), height + caption), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    left = 0
    for picture, label, width in zip(pictures, labels, widths, strict=True):
        array = to_array(picture.pixels, gray=False, dtype=np.uint8, flatten=picture.alpha)
        pen.text((left, GAP // 2), label, INK, font)
        canvas.paste(Image.fromarray(array), (left, caption))
        left += width + GAP
    # the profile of a gray picture knows no colours
    profiles = {None if picture.gray else picture.metadata.icc for picture in pictures}
    if len(profiles) == 1 and None not in profiles:
        canvas.info["icc_profile"] = profiles.pop()
    return canvas
