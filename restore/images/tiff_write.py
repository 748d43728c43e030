"""TIFF of 8, 16 and 32 bits with profile and EXIF; Pillow writes no colours of more than 8."""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffTags
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from restore.errors import ImageError
from restore.images.raster import Metadata

__all__ = ["write_tiff"]

STRIP_BYTES = 1 << 20
MAX_BYTES = (1 << 32) - (1 << 24)
DEFLATE, INCHES, HORIZONTAL, FLOAT = 8, 2, 2, 3


def write_tiff(stream: BinaryIO, array: NDArray, metadata: Metadata) -> None:
    """Write a TIFF (deflated strips) to a seekable stream.

    Args:
        stream: written from its start.
        array: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) of uint8, uint16 or float32; an even count of channels means
            that the last one is alpha, not multiplied into the colours.
        metadata: profile, EXIF, XMP and resolution go along.

    Raises:
        ImageError: the pixels do not fit into the 4 GB that a TIFF can address.
    """
    height = array.shape[0]
    rows = max(1, STRIP_BYTES // (array.nbytes // height))
    starts = range(0, height, rows)
    if array.nbytes > MAX_BYTES:
        raise ImageError(f"{array.nbytes / 2**30:.1f} GB of pixels do not fit into a TIFF (4 GB)")
    directory = tag_table(array, rows, metadata)
    places: dict[int, list[int]] = {Tag.StripOffsets: [0] * len(starts), Tag.StripByteCounts: [0] * len(starts)}
    set_places(directory, places)
    # The table stands before the strips and has the same size whatever numbers it holds.
    stream.write(b"II*\0\x08\0\0\0" + bytes(len(directory.tobytes(8))))
    position = 0
    for index, start in enumerate(starts):
        strip = deflated(array[start : start + rows])
        places[Tag.StripOffsets][index] = position
        places[Tag.StripByteCounts][index] = len(strip)
        position += stream.write(strip)
    set_places(directory, places)
    stream.seek(8)
    stream.write(directory.tobytes(8))


def set_places(directory: ImageFileDirectory_v2, places: dict[int, list[int]]) -> None:
    """Enter where the strips begin, counted from the end of the table (which Pillow adds), and how long they are."""
    for tag, values in places.items():
        directory.tagtype[tag] = TiffTags.LONG
        directory[tag] = tuple(values)


def deflated(strip: NDArray) -> bytes:
    """Return deflated rows; integers as the difference to the pixel on the left (predictor 2)."""
    rows = np.ascontiguousarray(strip, strip.dtype.newbyteorder("<"))
    if rows.dtype.kind == "u":
        rows = rows.copy()
        rows[:, 1:] -= strip[:, :-1]
    return zlib.compress(rows, 6)


def tag_table(array: NDArray, rows: int, metadata: Metadata) -> ImageFileDirectory_v2:
    """Return the table of tags of a TIFF, without the places of its strips."""
    channels = array.shape[2] if array.ndim == 3 else 1
    floats = array.dtype.kind == "f"
    directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag, value in exif.items():
            nested = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
            directory[tag] = dict(exif.get_ifd(tag)) if nested else value
    tags: dict[int, Any] = {
        Tag.ImageWidth: array.shape[1],
        Tag.ImageLength: array.shape[0],
        Tag.BitsPerSample: (array.dtype.itemsize * 8,) * channels,
        Tag.Compression: DEFLATE,
        Tag.PhotometricInterpretation: 1 if channels < 3 else 2,
        Tag.SamplesPerPixel: channels,
        Tag.RowsPerStrip: rows,
        Tag.PlanarConfiguration: 1,
        Tag.Predictor: 1 if floats else HORIZONTAL,
        Tag.SampleFormat: (FLOAT if floats else 1,) * channels,
    }
    if channels % 2 == 0:
        tags[Tag.ExtraSamples] = 2
    if metadata.dpi:
        tags |= {Tag.XResolution: metadata.dpi[0], Tag.YResolution: metadata.dpi[1], Tag.ResolutionUnit: INCHES}
    for tag, value in tags.items():
        directory[tag] = value
    for tag, kind, block in ((700, TiffTags.BYTE, metadata.xmp), (34675, TiffTags.UNDEFINED, metadata.icc)):
        if block:
            directory.tagtype[tag] = kind
            directory[tag] = block
    return directory
