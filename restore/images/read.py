"""Files to `Picture`: the header is judged first, the content decides and not the suffix, damage is an error."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from restore.errors import ImageError, ImageTooLarge
from restore.images.decode import to_picture
from restore.images.metadata import told_orientation, translated_warnings, warn
from restore.images.picture import Picture, printable
from restore.images.probe import check_png_data, check_png_skeleton, explain, gif_frames, open_file, tiff_pages
from restore.images.tiff import float_colour_size, read_float_colour

__all__ = ["MAX_PIXELS", "MODULES", "READABLE", "read"]

MAX_PIXELS = 100_000_000
MAX_FRAMES = 1000
MAX_PAGES = 100
# Everything else that Pillow could open stays shut: rarely used decoders are where the holes are.
MODULES = ("Jpeg", "Png", "WebP", "Tiff", "Gif", "Bmp", "Ppm", "Mpo", "Avif")
READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF")


def read(path: str | PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return the picture in a file, upright, with everything needed to write the same kind again.

    Args:
        path: the file; its content decides what it is, not its suffix.
        max_pixels: more than this in the header is refused before anything is decoded.

    Raises:
        ImageTooLarge: the header promises more than `max_pixels`, or too many frames or pages.
        ImageError: not a picture, damaged, cut short, or not readable; one line that names the file and the reason.
    """
    location = os.fspath(path)
    shown = printable(location)
    with open_file(location, shown) as stream:
        try:
            picture = read_stream(stream, shown, max_pixels)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"cannot read {shown}: {error}") from None
        except Exception as error:
            # Decoders stumble over damaged bytes in every way there is.
            detail = printable(" ".join(str(error).split())) or type(error).__name__
            if "unknown pixel mode" in detail:
                raise ImageError(f"cannot read {shown}: its kind of pixels is not supported") from None
            raise ImageError(f"cannot read {shown}: it is damaged or cut short ({detail})") from None
    return replace(picture, source=Path(os.path.abspath(location)))


def peek(path: str | PathLike[str]) -> tuple[int, int] | None:
    """Return the (height, width) that a file's header tells, upright, or None where `read` would refuse it."""
    location = os.fspath(path)
    shown = printable(location)
    # whatever is wrong with the file is told when it is read
    with suppress(Exception), open_file(location, shown) as stream:
        kind = recognise(stream.read(4096), shown)
        size, lies = float_colour_size(stream, shown) if kind == "TIFF" else None, False
        if size is None:
            with translated_warnings(shown):
                image = opened(stream, kind)
                size, lies = image.size, told_orientation(image) >= 5
        width, height = size
        check_size((width, height), shown, MAX_PIXELS)
        return (width, height) if lies else (height, width)
    return None


def read_stream(stream: BinaryIO, shown: str, max_pixels: int) -> Picture:
    """Return the picture in an open file; any exception other than `ImageError` means damage."""
    head = stream.read(4096)
    if not head:
        raise ImageError(f"cannot read {shown}: it is empty")
    kind = recognise(head, shown)
    name = printable(os.path.basename(shown))
    if kind == "TIFF":
        size = float_colour_size(stream, name)
        if size is not None:
            check_size(size, shown, max_pixels)
            check_frames(tiff_pages(stream, MAX_PAGES), kind, shown, name)
            return read_float_colour(stream, shown)
    if kind == "PNG":
        check_png_skeleton(stream)
    with translated_warnings(name):
        image = opened(stream, kind)
    check_size(image.size, shown, max_pixels)
    position = stream.tell()
    check_frames(count_frames(stream, image, kind), kind, shown, name)
    if kind == "PNG":
        check_png_data(stream)
    stream.seek(position)
    return to_picture(image, shown, lambda: opened(stream, kind))


def recognise(head: bytes, shown: str) -> str:
    """Return the format whose signature the first bytes carry.

    Raises:
        ImageError: none of those that are accepted; says what the file seems to be.
    """
    for module in MODULES:
        try:
            import_module(f"PIL.{module}ImagePlugin")
        except ImportError:
            continue
    for name in READABLE:
        _, accept = Image.OPEN.get(name, (None, None))
        if accept is not None and accept(head[:16]) is True:
            return name
    accepted = ", ".join(name for name in READABLE if name in Image.OPEN)
    seems = explain(head)
    guess = f"it is {seems}" if seems else f"it is none of {accepted}"
    raise ImageError(f"cannot read {shown}: {guess}")


def count_frames(stream: BinaryIO, image: Image.Image, kind: str) -> int:
    """Return the number of frames or pages, by a way that decodes none of them."""
    if kind == "GIF":
        return gif_frames(stream, MAX_FRAMES)
    if kind == "TIFF":
        return tiff_pages(stream, MAX_PAGES)
    # Of several pictures in one JPEG only the first is the photograph; the others are previews and depth maps.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def check_frames(frames: int, kind: str, shown: str, name: str) -> None:
    """Warn that only the first frame or page is read; raise `ImageTooLarge` when there are very many."""
    most, word = (MAX_PAGES, "pages") if kind == "TIFF" else (MAX_FRAMES, "frames")
    if frames > most:
        raise ImageTooLarge(f"cannot read {shown}: it has more than {most} {word}")
    if frames > 1:
        warn(name, f"only the first of its {frames} {word} is read")


def opened(stream: BinaryIO, kind: str) -> Image.Image:
    """Return the undecoded image of a format.

    `Image.open` is passed by because its own limit on pixels, a setting of the whole process, is not ours.
    """
    stream.seek(0)
    factory, _ = Image.OPEN[kind]
    image = factory(stream, "")
    if kind == "TIFF":
        # Decoding a TIFF parses its EXIF on the way; done here, complaints about it are still translated.
        with suppress(Exception):
            exif = image.getexif()
            for table in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                exif.get_ifd(table)
    return image


def check_size(size: tuple[int, int], shown: str, max_pixels: int) -> None:
    """Raise `ImageTooLarge` when the header promises more pixels than allowed."""
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"cannot read {shown}: {width}x{height} is {width * height / 1e6:.0f} megapixels, "
            f"more than the {max_pixels / 1e6:g} allowed (max_pixels)"
        )
