"""An image to a file: the suffix says the format, and either the whole file appears or nothing does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, features
from PIL.PngImagePlugin import PngInfo

from restore.errors import ArrayError, ConfigError, ImageError
from restore.images.encoding import encoding_for
from restore.images.notices import codec_errors, printable, warn
from restore.images.png import write_png16
from restore.images.raster import Encoding, Raster
from restore.images.tiff_write import write_tiff
from restore.images.values import alpha_as, to_array
from restore.system.atomic import replacing

__all__ = ["WRITABLE", "check_encoding", "refuse_inputs", "write"]

WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".avif": "AVIF",
}
"""Suffixes that can be written and the format each stands for."""

HAS_ALPHA = ("PNG", "TIFF", "WEBP", "AVIF", "GIF")
LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "AVIF": 65536}
JPEG_SEGMENT = 65500
LOSSLESS_EFFORT = 80
NO_NAME = "encoding"


def write(
    image: Raster,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    quality: int | None = None,
    lossless: bool | None = None,
) -> None:
    """Write an image to a file, atomically, in the format of the suffix; missing folders are made.

    16 bits stay so in PNG and TIFF, floats stay so in TIFF and become 16 bits in PNG; all else gets 8 bits. Values are
    rounded to nearest. Alpha is attached again where the format has one (in GIF a pixel is clear or not), and where it
    is 0 a lossless file gets the colours that the source has there; for JPEG, BMP and PPM the colours are laid over
    white. Profile, EXIF (without orientation), XMP, texts and resolution go along where the format can.

    Args:
        image: what to write.
        path: the file; its suffix must be one of `WRITABLE`.
        overwrite: replace an existing file. The file that the image was read from is never replaced.
        quality: 1 to 100, for JPEG, WebP and AVIF; by default that of the source, and at least 95.
        lossless: for WebP; by default as the source, where no quality is given.

    Raises:
        ImageError: unknown suffix, file exists, the file is the source, too large for the format, a quality that makes
            no sense, or a disk problem.
        ArrayError: the pixels hold NaN or infinity.
    """
    target = Path(path)
    shown = printable(target)
    kind = format_of(target, shown)
    check_target(image, target, shown, overwrite)
    side = max(image.width, image.height)
    if side > LARGEST_SIDE.get(kind, side):
        raise ImageError(f"cannot write {shown}: {kind} ends at {LARGEST_SIDE[kind]} pixels a side, this has {side}")
    try:
        how = encoding_for(image.encoding, kind, quality, lossless)
        with (
            codec_errors(NO_NAME, "it cannot be encoded"),
            replacing(target) as temporary,
            temporary.open("r+b") as stream,
        ):
            encode(image, stream, kind, how)
    except (ImageError, ArrayError) as error:
        raise type(error)(f"cannot write {shown}: {str(error).removeprefix(NO_NAME + ': ')}") from None


def check_encoding(paths: Iterable[Path], quality: int | None, lossless: bool | None) -> None:
    """Raise `ConfigError` when a file with the suffix of one of the paths could not be encoded so; see `write`."""
    for path in paths:
        shown = printable(path)
        try:
            encoding_for(Encoding(), format_of(path, shown), quality, lossless)
        except ImageError as error:
            raise ConfigError(f"cannot write {shown}: {str(error).removeprefix(f'cannot write {shown}: ')}") from None


def format_of(path: Path, shown: str) -> str:
    """Return the format of the suffix.

    Raises:
        ImageError: lists the suffixes that are accepted.
    """
    kind = WRITABLE.get(path.suffix.lower())
    if kind is None or (kind in ("WEBP", "AVIF") and not features.check(kind.lower())):
        usable = (s for s, k in WRITABLE.items() if k not in ("WEBP", "AVIF") or features.check(k.lower()))
        given = f"the suffix {path.suffix!r} is not" if path.suffix else "a name without suffix is not"
        raise ImageError(f"cannot write {shown}: {given} one of {' '.join(usable)}")
    return kind


def refuse_inputs(targets: Iterable[Path], inputs: Sequence[str | PathLike[str]]) -> None:
    """Raise `ImageError` when a file that is to be written is one that was read, under any name."""
    for path in targets:
        for given in inputs:
            same = os.path.realpath(path) == os.path.realpath(given)
            with suppress(OSError, ValueError):
                same = same or os.path.samefile(path, given)
            if same:
                raise ImageError(f"cannot write {printable(path)}: it is the file that was read; choose another name")


def check_target(image: Raster, path: Path, shown: str, overwrite: bool) -> None:
    """Raise `ImageError` when `path` is the source under any name, a folder, or a file that must not be replaced."""
    if image.source is not None:
        refuse_inputs([path], [image.source])
    if os.path.isdir(path):
        raise ImageError(f"cannot write {shown}: it is a folder")
    if os.path.lexists(path) and not overwrite:
        raise ImageError(f"cannot write {shown}: it exists already; allow overwriting or choose another name")


def encode(image: Raster, stream: BinaryIO, kind: str, how: Encoding) -> None:
    """Write an image to a seekable stream in a format, one of the values of `WRITABLE`."""
    dtype = np.uint8
    if kind == "TIFF":
        dtype = {16: np.uint16, 32: np.float32}.get(image.depth, np.uint8)
    elif kind == "PNG" and image.depth > 8:
        dtype = np.uint16
    alpha = image.alpha
    kept = alpha if kind in HAS_ALPHA else None
    flatten = alpha if kept is None else None
    if kind == "GIF" and alpha is not None:
        # a pixel is there or it is not: those that are partly clear are laid over white
        flatten, kept = alpha, np.where(alpha_as(alpha, np.uint8) > 127, 255, 0).astype(np.uint8)
    # No reader knows a TIFF of gray and alpha with more than 8 bits, and Pillow no GIF of gray and alpha.
    gray = image.gray and not (kept is not None and (kind == "GIF" or (kind == "TIFF" and dtype != np.uint8)))
    # a lossy encoder would smear what nobody sees into what is seen
    pixels = image.stored() if how.lossless else image.pixels
    array = to_array(pixels, gray=gray, dtype=dtype, alpha=kept, white=image.white, flatten=flatten)
    if kind == "TIFF":
        write_tiff(stream, array, replace(image.metadata, icc=None if gray != image.gray else image.metadata.icc))
        return
    options = saving(image, kind, how)
    if dtype == np.uint16:
        write_png16(stream, array, ancillary=options)
        return
    # Given a real file, Pillow writes to its descriptor and does not notice when the disk is full.
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    stream.write(buffer.getbuffer())


def saving(image: Raster, kind: str, how: Encoding) -> dict[str, Any]:
    """Return the options with which Pillow saves the image in a format."""
    known = image.metadata
    options: dict[str, Any] = {}
    if kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        # WebP has no gray, to which a gray profile could apply.
        icc = None if image.gray and kind == "WEBP" else known.icc
        options = {"icc_profile": icc, "exif": fitting_exif(image, kind) or b""}
    if kind in ("JPEG", "WEBP", "AVIF"):
        options |= {"quality": how.quality, "xmp": known.xmp or b""}
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = how.chroma
    if kind == "WEBP":
        # a lossless file's quality is the effort that goes into making it small
        options |= {"lossless": True, "quality": LOSSLESS_EFFORT} if how.lossless else {}
        options["exact"] = image.alpha is not None
    if kind == "JPEG" and len(known.xmp or b"") > JPEG_SEGMENT:
        warn(image.name, "its XMP packet is too long for a JPEG and is left out")
        del options["xmp"]
    if kind == "PNG":
        options["pnginfo"] = png_texts(image)
    if kind in ("JPEG", "GIF") and "Comment" in known.text:
        options["comment"] = known.text["Comment"].encode()[:JPEG_SEGMENT]
    if known.dpi and kind in ("JPEG", "PNG", "BMP"):
        options["dpi"] = known.dpi
    return options


def fitting_exif(image: Raster, kind: str) -> bytes | None:
    """Return the EXIF block with the size of the image in it, or None where it does not fit into the format."""
    block = image.metadata.exif
    if block is None:
        return None
    exif = Image.Exif()
    exif.load(block)
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    sides = {ExifTags.Base.ExifImageWidth: image.width, ExifTags.Base.ExifImageHeight: image.height}
    if any(inner.get(tag, side) != side for tag, side in sides.items()):
        exif[ExifTags.IFD.Exif] = dict(inner) | {tag: side for tag, side in sides.items() if tag in inner}
        block = exif.tobytes()
    if kind == "JPEG" and len(block) > JPEG_SEGMENT:
        warn(image.name, "its EXIF block is too long for a JPEG and is left out")
        return None
    return block


def png_texts(image: Raster) -> PngInfo:
    """Return the texts and the XMP packet as PNG chunks."""
    chunks = PngInfo()
    for keyword, text in image.metadata.text.items():
        if 0 < len(keyword) < 80 and keyword.isascii():
            chunks.add_itxt(keyword, text) if not text.isascii() else chunks.add_text(keyword, text)
    if image.metadata.xmp:
        chunks.add_itxt("XML:com.adobe.xmp", image.metadata.xmp.decode("utf-8", "replace"))
    return chunks
