"""TIFF of floats that Pillow cannot read: colours, alpha, and floats of 16 bits."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from restore.errors import ImageError
from restore.images.decode import Decoded, float_white, upright_raster
from restore.images.metadata import collect
from restore.images.notices import translated_warnings
from restore.images.probe import CHECKED_BYTES, Damaged
from restore.images.quiet import hush_libtiff, hushed_opencv
from restore.images.raster import Encoding, Raster

__all__ = ["first_table", "float_size", "read_float"]

FLOAT = 3
DEFLATE = (8, 32946)
PLAIN = (1, 32773, *DEFLATE)
"""Compressions that tifffile undoes by itself: none, PackBits and deflate."""
ASSOCIATED, UNASSOCIATED = 1, 2


def float_size(stream: BinaryIO, name: str) -> tuple[int, int] | None:
    """Return (width, height) of a TIFF of floats that Pillow cannot read, None for any other TIFF."""
    tags = first_table(stream, name)
    plain = tags.get(Tag.SamplesPerPixel, 1) == 1 and tags.get(Tag.BitsPerSample, (1,))[0] == 32
    if tags.get(Tag.SampleFormat, (1,))[0] != FLOAT or plain:
        return None
    return int(tags.get(Tag.ImageWidth, 0)), int(tags.get(Tag.ImageLength, 0))


def first_table(stream: BinaryIO, name: str) -> ImageFileDirectory_v2:
    """Return the tags of the first page."""
    stream.seek(0)
    head = stream.read(16)
    directory = ImageFileDirectory_v2(head[:16] if head[2:4] in (b"+\0", b"\0+") else head[:8])
    stream.seek(directory.next)
    with translated_warnings(name):
        directory.load(stream)
    return directory


def read_float(stream: BinaryIO, name: str) -> Raster:
    """Return the image of a TIFF of floats: gray or colours, with alpha or without, upright.

    Raises:
        ImageError: a compression that nothing here undoes, or values that are no image.
        Damaged: it holds more or less than its header declares.
    """
    hush_libtiff()
    tags = first_table(stream, name)
    values = float_values(stream, tags, name)
    channels = values.shape[2]
    count = 1 if channels < 3 else 3
    if channels > 4:
        raise ImageError(f"cannot read {name}: float pixels of {channels} channels are not supported")
    kind = next(iter(tags.get(Tag.ExtraSamples, ())), 0) if channels > count else 0
    alpha = None
    if kind in (ASSOCIATED, UNASSOCIATED):
        alpha = np.ascontiguousarray(values[..., count])
        float_white(alpha, name)
        alpha = alpha.clip(0, 1)
    colours = values[..., :count]
    if alpha is not None and kind == ASSOCIATED:
        colours = np.where(alpha[..., None] > 0, colours / np.maximum(alpha, 1e-6)[..., None], 0)
    colours = colours[..., 0] if count == 1 else colours
    # An image without pixels, for what Pillow knows about tags.
    carrier = Image.new("F", (1, 1))
    carrier.format = "TIFF"
    icc = tags.get(34675)
    carrier.info.update({key: value for key, value in (("icc_profile", icc), ("xmp", tags.get(700))) if value})
    _, metadata = collect(carrier, name)
    turn = tags.get(Tag.Orientation, 1)
    found = Decoded(colours, alpha, depth=32, white=float_white(colours, name))
    raster = upright_raster(found, turn if turn in range(1, 9) else 1, metadata, carrier, name)
    return raster.encoded(Encoding(True))


def float_values(stream: BinaryIO, tags: ImageFileDirectory_v2, name: str) -> NDArray:
    """Return the (H, W, C) float32 values of the first page.

    tifffile reads all types and planes, but few compressions; OpenCV knows libtiff's, and neither halves nor planes.
    """
    compression, predictor = tags.get(Tag.Compression, 1), tags.get(Tag.Predictor, 1)
    stream.seek(0)
    if compression in PLAIN and predictor == 1:
        from tifffile import TiffFile

        with TiffFile(BytesIO(stream.read())) as file:
            page = file.pages[0]
            if compression in DEFLATE:
                check_deflated(stream, page)
            values = page.asarray().astype(np.float32)
            separate = page.planarconfig == 2 and values.ndim == 3
        values = np.moveaxis(values, 0, -1) if separate else values
    else:
        import cv2

        if tags.get(Tag.BitsPerSample, (1,))[0] < 32 or tags.get(Tag.PlanarConfiguration, 1) != 1:
            raise ImageError(f"cannot read {name}: save it uncompressed, or deflated without a predictor")
        with hushed_opencv():
            values = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        if values is None or values.dtype not in (np.float32, np.float64):
            raise Damaged("its float colours cannot be decoded")
        values = values.astype(np.float32)
        if values.ndim == 3:
            values[..., :3] = values[..., 2::-1].copy()
    return values[..., None] if values.ndim == 2 else values


def check_deflated(stream: BinaryIO, page: Any) -> None:
    """Raise `Damaged` when a deflated part of a page is larger than the whole page."""
    most = page.nbytes + CHECKED_BYTES
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream.seek(offset)
        if len(zlib.decompressobj().decompress(stream.read(length), most + 1)) > most:
            raise Damaged("it holds more than its header tells")
    stream.seek(0)
