"""Files to `Photo`: the header is judged first, the content decides and not the suffix, damage is an error."""

from __future__ import annotations

import os
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from restore.errors import ImageError, ImageTooLarge
from restore.images.decode import decode_image
from restore.images.encoding import encoding_of
from restore.images.formats import EXTRAS, has_extra, missing_extra, open_image, recognise
from restore.images.metadata import told_orientation
from restore.images.notices import codec_errors, printable, translated_warnings, warn
from restore.images.photo import Photo
from restore.images.probe import check_header, gif_frames, jpeg2000_bits, open_file, tiff_pages
from restore.images.raster import Raster
from restore.images.raw import raw_size, read_raw
from restore.images.tiff_float import first_table, float_size, read_float
from restore.images.whole import check_jpeg_data, check_png_data

__all__ = ["DAMAGED", "MAX_PIXELS", "peek", "read"]

MAX_PIXELS = 100_000_000
MAX_FRAMES = 1000
MAX_PAGES = 100
DAMAGED = "it is damaged or cut short"


def read(path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Return the image in a file, upright, with everything needed to write the same kind again.

    Args:
        path: the file; its content decides what it is, not its suffix.
        max_pixels: more than this in the header is refused before anything is decoded.

    Raises:
        ImageTooLarge: the header promises more than `max_pixels`, or too many frames or pages.
        ImageError: not an image, damaged, cut short, or not readable; one line that names the file and the reason.
    """
    location = os.fspath(path)
    shown = printable(location)
    with open_file(location, shown) as stream, codec_errors(f"cannot read {shown}", DAMAGED):
        raster = read_stream(stream, shown, max_pixels)
    return Photo.of(raster, source=Path(os.path.abspath(location)))


def peek(path: str | PathLike[str]) -> tuple[int, int] | None:
    """Return the (height, width) in a file's header, upright, or None where `read` would refuse it."""
    location = os.fspath(path)
    shown = printable(location)
    # whatever is wrong with the file is reported when it is read
    with suppress(Exception), open_file(location, shown) as stream:
        kind = recognise(stream, shown)
        check_header(stream, kind)
        lies, size = False, raw_size(stream) if kind == "RAW" else None
        if kind == "TIFF":
            size = float_size(stream, shown)
            lies = size is not None and first_table(stream, shown).get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        if size is None:
            with translated_warnings(shown):
                image = open_image(stream, kind)
                size, lies = image.size, told_orientation(image) >= 5
        width, height = size
        check_size((width, height), shown, MAX_PIXELS)
        return (width, height) if lies else (height, width)
    return None


def read_stream(stream: BinaryIO, shown: str, max_pixels: int) -> Raster:
    """Return the image in an open file; any exception other than `ImageError` means damage."""
    kind = recognise(stream, shown)
    name = printable(os.path.basename(shown))
    if kind in EXTRAS and not has_extra(kind):
        raise ImageError(f"cannot read {shown}: {missing_extra(kind)}")
    check_header(stream, kind)
    if kind == "RAW":
        check_size(raw_size(stream), shown, max_pixels)
        return read_raw(stream)
    if kind == "TIFF" and (size := float_size(stream, name)) is not None:
        check_size(size, shown, max_pixels)
        check_frames(tiff_pages(stream, MAX_PAGES), kind, shown, name)
        return read_float(stream, shown)
    with translated_warnings(name):
        image = open_image(stream, kind)
    check_size(image.size, shown, max_pixels)
    position = stream.tell()
    check_frames(count_frames(stream, image, kind), kind, shown, name)
    if kind == "PNG":
        check_png_data(stream)
    if kind == "JPEG2000" and (bits := jpeg2000_bits(stream)) > 8 and not image.mode.startswith("I"):
        warn(name, f"its {bits} bits per channel are read as 8")
    stream.seek(position)
    raster = decode_image(image, shown, lambda: open_image(stream, kind))
    if kind == "JPEG":
        stream.seek(0)
        if check_jpeg_data(stream.read(), image):
            warn(name, "its image goes on below the height that its header tells, and that part is lost")
    return raster.encoded(encoding_of(image, stream))


def count_frames(stream: BinaryIO, image: Image.Image, kind: str) -> int:
    """Return the number of frames or pages, by a way that decodes none of them."""
    if kind == "GIF":
        return gif_frames(stream, MAX_FRAMES)
    if kind == "TIFF":
        return tiff_pages(stream, MAX_PAGES)
    # Of several images in one JPEG only the first is the photograph; the others are previews and depth maps.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def check_frames(frames: int, kind: str, shown: str, name: str) -> None:
    """Warn that only the first frame or page is read; raise `ImageTooLarge` when there are very many."""
    most, word = (MAX_PAGES, "pages") if kind == "TIFF" else (MAX_FRAMES, "frames")
    if frames > most:
        raise ImageTooLarge(f"cannot read {shown}: it has more than {most} {word}")
    if frames > 1:
        warn(name, f"only the first of its {frames} {word} is read")


def check_size(size: tuple[int, int], shown: str, max_pixels: int) -> None:
    """Raise `ImageTooLarge` when the header promises more pixels than allowed."""
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"cannot read {shown}: {width}x{height} is {width * height / 1e6:.0f} megapixels, "
            f"more than the {max_pixels / 1e6:g} allowed (max_pixels)"
        )
