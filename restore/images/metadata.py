"""Profile, EXIF, texts and resolution of an opened image; the orientation is taken out of them."""

from __future__ import annotations

import math
import re
import struct
from contextlib import suppress
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image, ImageCms, ImageFile

from restore.images.notices import translated_warnings, warn
from restore.images.raster import Metadata

__all__ = ["collect", "resolution", "told_orientation", "usable_profile"]

# In a TIFF the EXIF block is the table of the file itself, most of which is only true of that one file.
DESCRIPTIVE = frozenset(
    int(tag)
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    )
)
MAX_DPI = 65535  # what a JPEG can say; more is damage
UPRIGHT = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')


def collect(image: Image.Image, name: str) -> tuple[int, Metadata]:
    """Return the EXIF orientation (1 to 8) and everything else that a loaded image says about itself."""
    orientation, exif = read_exif(image, name)
    info = image.info
    xmp = info.get("xmp")
    xmp = xmp.encode("utf-8", "surrogateescape") if isinstance(xmp, str) else xmp
    # In a multi-image JPEG the packet describes the other images, which are left behind.
    packet = UPRIGHT.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) and image.format != "MPO" else None
    icc = info.get("icc_profile")
    return orientation, Metadata(
        icc=icc if isinstance(icc, bytes) and icc else None,
        exif=exif,
        xmp=packet,
        text=texts(image),
        dpi=resolution(info.get("dpi")),
    )


def read_exif(image: Image.Image, name: str) -> tuple[int, bytes | None]:
    """Return the orientation and the EXIF block without it; garbage counts as no EXIF, with a warning."""
    try:
        with translated_warnings(name):
            exif = image.getexif()
            value = exif.get(ExifTags.Base.Orientation, 1)
            orientation = value if isinstance(value, int) and 1 <= value <= 8 else 1
            kept = Image.Exif()
            kept.endian = exif.endian
            for tag, content in exif.items():
                if tag == ExifTags.Base.Orientation or (image.format == "TIFF" and tag not in DESCRIPTIVE):
                    continue
                kept[tag] = sub_table(exif, tag) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else content
            block = kept.tobytes() if kept else None
    except Exception:
        # The parser stumbles in many ways over bytes that are no EXIF; the image is good without.
        warn(name, "its EXIF block is damaged and is left out")
        return 1, None
    if image.info.get("exif") and not exif:
        warn(name, "its EXIF block is damaged and is left out")
    return orientation, block


def told_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1 to 8) that is still to be applied to an undecoded image's size."""
    value = 1
    # garbage counts as no EXIF, as in `read_exif`; of a TIFF Pillow returns the upright size itself
    with suppress(Exception):
        exif = Image.Exif()
        exif.load(image.info.get("exif", b"") if image.format != "TIFF" else b"")
        value = exif.get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def sub_table(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """Return a copy of a sub-table of EXIF, with the table inside it, if any, in place of its old position."""
    values = dict(exif.get_ifd(tag))
    if ExifTags.IFD.Interop in values:
        values[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
    return values


def usable_profile(icc: bytes | None, space: str, name: str) -> bytes | None:
    """Return the ICC profile if it is sound and made for `space` (RGB, GRAY, CMYK), else None with a warning."""
    if icc is None:
        return None
    try:
        found = str(ImageCms.ImageCmsProfile(BytesIO(icc)).profile.xcolor_space).strip()
    except (OSError, ImageCms.PyCMSError, TypeError, ValueError, struct.error):
        warn(name, "its ICC profile is broken and is ignored")
        return None
    if found != space:
        warn(name, f"its ICC profile is made for {found} colours, not {space}, and is ignored")
        return None
    return icc


def texts(image: Image.Image) -> dict[str, str]:
    """Return text chunks and comments by keyword, without those that hold EXIF or XMP in another dress."""
    found: dict[str, Any] = {}
    if isinstance(image, ImageFile.ImageFile):
        found.update(getattr(image, "text", {}))
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        found.setdefault("Comment", comment.decode("utf-8", "replace"))
    special = ("Raw profile type", "XML:com.adobe.xmp")
    return {key: str(value) for key, value in found.items() if not key.startswith(special)}


def resolution(dpi: Any) -> tuple[float, float] | None:
    """Return the dots per inch as two positive numbers, or None when they make no sense."""
    with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        x, y = (float(value) for value in dpi)
        if all(math.isfinite(value) and 0 < value <= MAX_DPI for value in (x, y)):
            return x, y
    return None
