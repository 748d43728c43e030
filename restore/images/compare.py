"""Images side by side under captions, as one image."""

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


def side_by_side(images: Sequence[Raster], labels: Sequence[str]) -> Image.Image:
    """Return an 8-bit RGB image of the images from left to right, at their own sizes, each under its label.

    Alpha is laid over white; the profile is kept when all images share it and none is gray.

    Raises:
        ArrayError: no images, or not as many labels as images.
    """
    if not images or len(images) != len(labels):
        raise ArrayError(f"a comparison needs one label per image, got {len(images)} images, {len(labels)} labels")
    height = max(image.height for image in images)
    font = ImageFont.load_default(min(48, max(12, height // 24)))
    boxes = [font.getbbox(label) for label in labels]
    caption = int(max(box[3] for box in boxes)) + GAP
    widths = [max(image.width, int(box[2])) for image, box in zip(images, boxes, strict=True)]
    canvas = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), height + caption), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    left = 0
    for image, label, width in zip(images, labels, widths, strict=True):
        array = to_array(image.pixels, gray=False, dtype=np.uint8, flatten=image.alpha)
        pen.text((left, GAP // 2), label, INK, font)
        canvas.paste(Image.fromarray(array), (left, caption))
        left += width + GAP
    # the profile of a gray image knows no colours
    profiles = {None if image.gray else image.metadata.icc for image in images}
    if len(profiles) == 1 and None not in profiles:
        canvas.info["icc_profile"] = profiles.pop()
    return canvas
