"""Which formats are read, how they are recognised, and how each is opened."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import BinaryIO

from PIL import ExifTags, Image

from restore.errors import ImageError
from restore.images.probe import explain
from restore.images.quiet import hush_libtiff
from restore.system.versions import DISTRIBUTION

__all__ = ["EXTRAS", "RAW_SUFFIXES", "has_extra", "missing_extra", "open_image", "recognise"]

# Everything else that Pillow could open stays shut: rarely used decoders are where the holes are.
MODULES = ("Jpeg", "Png", "WebP", "Tiff", "Gif", "Bmp", "Ppm", "Mpo", "Avif", "Jpeg2K", "Tga")
READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000")

EXTRAS = {"HEIF": ("heif", "pillow_heif", "a HEIC photo"), "RAW": ("raw", "rawpy", "the raw file of a camera")}
"""Kinds that need an optional package: the extra that brings it, its module, and what the file is called."""

# fmt: off
RAW_SUFFIXES = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
    ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))
# fmt: on
RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FOVb")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
TGA_DEPTHS = {1: (8,), 9: (8,), 2: (16, 24, 32), 10: (16, 24, 32), 3: (8, 16), 11: (8, 16)}
TGA_HEADER = 18


def recognise(stream: BinaryIO, shown: str) -> str:
    """Return the format of a file by its first bytes; of TIFF's relatives alone the suffix decides.

    Raises:
        ImageError: it is empty, or none of those that are read; says what the file seems to be.
    """
    stream.seek(0)
    head = stream.read(4096)
    if not head:
        raise ImageError(f"cannot read {shown}: it is empty")
    for module in MODULES:
        with suppress(ImportError):
            import_module(f"PIL.{module}ImagePlugin")
    if is_raw(head, os.path.splitext(shown)[1].lower()):
        return "RAW"
    for name in READABLE:
        _, accept = Image.OPEN.get(name, (None, None))
        if accept is not None and accept(head[:16]) is True:
            return name
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return "HEIF"
    if is_tga(head, stream.seek(0, os.SEEK_END)):
        return "TGA"
    accepted = ", ".join(name for name in (*READABLE, "TGA") if name in Image.OPEN)
    seems = explain(head)
    guess = f"it is {seems}" if seems else f"it is none of {accepted}"
    raise ImageError(f"cannot read {shown}: {guess}")


def is_raw(head: bytes, suffix: str) -> bool:
    """Return whether a file is what a camera's sensor saw; many are TIFFs that hold a preview at first sight."""
    tiff = head[:4] in (b"II*\0", b"MM\0*")
    return (
        (tiff and (head[8:10] == b"CR" or suffix in RAW_SUFFIXES))
        or head.startswith(RAW_SIGNATURES)
        or head[4:12] == b"ftypcrx "
    )


def is_tga(head: bytes, size: int) -> bool:
    """Return whether a file of `size` bytes can be a TGA, which has no signature at its beginning.

    Source: Truevision TGA File Format Specification 2.0, the header's fields 1 to 5.
    """
    if len(head) < TGA_HEADER:
        return False
    palette, kind, depth = head[1], head[2], head[16]
    width, height = (int.from_bytes(head[place : place + 2], "little") for place in (12, 14))
    if depth not in TGA_DEPTHS.get(kind, ()) or palette > 1 or (palette == 0 and kind in (1, 9)) or head[17] & 0xC0:
        return False
    entries = int.from_bytes(head[5:7], "little") * -(-head[7] // 8) if palette else 0
    least = TGA_HEADER + head[0] + entries + (width * height * depth // 8 if kind < 9 else 1)
    return width > 0 and height > 0 and size >= least


def has_extra(kind: str) -> bool:
    """Return whether the package that reads a kind of `EXTRAS` is installed."""
    return find_spec(EXTRAS[kind][1]) is not None


def missing_extra(kind: str) -> str:
    """Return what brings the package that reads a kind of `EXTRAS`."""
    extra, _, name = EXTRAS[kind]
    return (
        f"{name} needs an optional package: pip install '{DISTRIBUTION}[{extra}]', or export it as TIFF or JPEG first"
    )


def open_image(stream: BinaryIO, kind: str) -> Image.Image:
    """Return the undecoded image of a format that Pillow or one of its plugins reads.

    `Image.open` is passed by because its own limit on pixels, a setting of the whole process, is not ours.
    """
    stream.seek(0)
    if kind == "HEIF":
        from pillow_heif import HeifImageFile

        return HeifImageFile(stream, "")
    if kind == "TIFF":
        hush_libtiff()
    factory, _ = Image.OPEN[kind]
    image = factory(stream, "")
    if kind == "TIFF":
        # Decoding a TIFF parses its EXIF on the way; done here, complaints about it are still translated.
        with suppress(Exception):
            exif = image.getexif()
            for table in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                exif.get_ifd(table)
    return image
