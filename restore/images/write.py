"""`Picture` to a file: the suffix says the format, and either the whole file appears or nothing does."""

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

from restore.errors import ArrayError, ImageError
from restore.images.metadata import warn
from restore.images.picture import Picture, printable
from restore.images.png import write_png16
from restore.images.probe import reason
from restore.images.tiff import write_tiff
from restore.images.values import to_array
from restore.system.atomic import replacing

__all__ = ["WRITABLE", "encode", "refuse_inputs", "write"]

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
FULL_CHROMA_QUALITY = 90


def write(picture: Picture, path: str | PathLike[str], *, overwrite: bool = False, quality: int = 95) -> None:
    """Write a picture to a file, atomically, in the format of the suffix; missing folders are made.

    16 bits stay so in PNG and TIFF, floats stay so in TIFF and become 16 bits in PNG; all else gets 8 bits. Values are
    rounded to nearest. Alpha is attached again where the format has one (in GIF a pixel is clear or not); for JPEG, BMP
    and PPM the colours are laid over white. Profile, EXIF (without orientation), XMP, texts and resolution go along
    where the format can.

    Args:
        picture: what to write.
        path: the file; its suffix must be one of `WRITABLE`.
        overwrite: replace an existing file. The file that the picture was read from is never replaced.
        quality: 1 to 100, for JPEG, WebP and AVIF; colours are not subsampled in a JPEG from 90 on.

    Raises:
        ImageError: unknown suffix, file exists, the file is the source, too large for the format, or a disk problem.
        ArrayError: the pixels hold NaN or infinity.
    """
    target = Path(path)
    shown = printable(target)
    kind = format_of(target, shown)
    if not 1 <= quality <= 100:
        raise ImageError(f"cannot write {shown}: quality must be 1 to 100, got {quality}")
    check_target(picture, target, shown, overwrite)
    side = max(picture.width, picture.height)
    if side > LARGEST_SIDE.get(kind, side):
        raise ImageError(f"cannot write {shown}: {kind} ends at {LARGEST_SIDE[kind]} pixels a side, this has {side}")
    try:
        with replacing(target) as temporary, temporary.open("r+b") as stream:
            encode(picture, stream, kind, quality)
    except (ImageError, ArrayError) as error:
        raise type(error)(f"cannot write {shown}: {error}") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write {shown}: {reason(error)}") from None


def format_of(path: Path, shown: str) -> str:
    """Return the format that the suffix asks for.

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


def check_target(picture: Picture, path: Path, shown: str, overwrite: bool) -> None:
    """Raise `ImageError` when `path` is the source under any name, a folder, or a file that must not be replaced."""
    if picture.source is not None:
        refuse_inputs([path], [picture.source])
    if os.path.isdir(path):
        raise ImageError(f"cannot write {shown}: it is a folder")
    if os.path.lexists(path) and not overwrite:
        raise ImageError(f"cannot write {shown}: it exists already; allow overwriting or choose another name")


def encode(picture: Picture, stream: BinaryIO, kind: str, quality: int = 95) -> None:
    """Write a picture to a seekable stream in a format, one of the values of `WRITABLE`."""
    dtype = np.uint8
    if kind == "TIFF":
        dtype = {16: np.uint16, 32: np.float32}.get(picture.depth, np.uint8)
    elif kind == "PNG" and picture.depth > 8:
        dtype = np.uint16
    alpha = picture.alpha
    kept = alpha if kind in HAS_ALPHA else None
    flatten = alpha if kept is None else None
    if kind == "GIF" and alpha is not None:
        # a pixel is there or it is not: those that are partly clear are laid over white
        flatten, kept = alpha, np.where(alpha > np.iinfo(alpha.dtype).max // 2, 255, 0).astype(np.uint8)
    # No reader knows a TIFF of gray and alpha with more than 8 bits, and Pillow no GIF of gray and alpha.
    gray = picture.gray and not (kept is not None and (kind == "GIF" or (kind == "TIFF" and dtype != np.uint8)))
    array = to_array(picture.pixels, gray=gray, dtype=dtype, alpha=kept, white=picture.white, flatten=flatten)
    if kind == "TIFF":
        write_tiff(stream, array, replace(picture.metadata, icc=None if gray != picture.gray else picture.metadata.icc))
        return
    options = saving(picture, kind, quality)
    if dtype == np.uint16:
        write_png16(stream, array, ancillary=options)
        return
    # Given a real file, Pillow writes to its descriptor and does not notice when the disk is full.
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    stream.write(buffer.getbuffer())


def saving(picture: Picture, kind: str, quality: int) -> dict[str, Any]:
    """Return the options with which Pillow saves the picture in a format."""
    known = picture.metadata
    options: dict[str, Any] = {}
    if kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        # WebP has no gray, to which a gray profile could apply.
        icc = None if picture.gray and kind == "WEBP" else known.icc
        options = {"icc_profile": icc, "exif": fitting_exif(picture, kind) or b""}
    if kind in ("JPEG", "WEBP", "AVIF"):
        options |= {"quality": quality, "xmp": known.xmp or b""}
    if kind == "JPEG":
        if quality >= FULL_CHROMA_QUALITY:
            options["subsampling"] = 0
        if len(known.xmp or b"") > JPEG_SEGMENT:
            warn(picture.name, "its XMP packet is too long for a JPEG and is left out")
            del options["xmp"]
    if kind == "WEBP" and picture.alpha is not None:
        options["exact"] = True
    if kind == "PNG":
        options["pnginfo"] = png_texts(picture)
    if kind in ("JPEG", "GIF") and "Comment" in known.text:
        options["comment"] = known.text["Comment"].encode()[:JPEG_SEGMENT]
    if known.dpi and kind in ("JPEG", "PNG", "BMP"):
        options["dpi"] = known.dpi
    return options


def fitting_exif(picture: Picture, kind: str) -> bytes | None:
    """Return the EXIF block with the size of the picture in it, or None where it does not fit into the format."""
    block = picture.metadata.exif
    if block is None:
        return None
    exif = Image.Exif()
    exif.load(block)
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    sides = {ExifTags.Base.ExifImageWidth: picture.width, ExifTags.Base.ExifImageHeight: picture.height}
    if any(inner.get(tag, side) != side for tag, side in sides.items()):
        exif[ExifTags.IFD.Exif] = dict(inner) | {tag: side for tag, side in sides.items() if tag in inner}
        block = exif.tobytes()
    if kind == "JPEG" and len(block) > JPEG_SEGMENT:
        warn(picture.name, "its EXIF block is too long for a JPEG and is left out")
        return None
    return block


def png_texts(picture: Picture) -> PngInfo:
    """Return the texts and the XMP packet as PNG chunks."""
    chunks = PngInfo()
    for keyword, text in picture.metadata.text.items():
        if 0 < len(keyword) < 80 and keyword.isascii():
            chunks.add_itxt(keyword, text) if not text.isascii() else chunks.add_text(keyword, text)
    if picture.metadata.xmp:
        chunks.add_itxt("XML:com.adobe.xmp", picture.metadata.xmp.decode("utf-8", "replace"))
    return chunks
