"""PNG with 16 bits per channel, which Pillow writes for gray alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["write_png16"]

MAGIC = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
UP = 2
BLOCK_BYTES = 1 << 20
LEVEL = 6


def write_png16(stream: BinaryIO, array: NDArray, ancillary: Mapping[str, Any]) -> None:
    """Write a PNG with 16 bits per channel.

    Args:
        stream: where to.
        array: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) uint16; an even count of channels means alpha last.
        ancillary: options as Pillow's PNG writer takes them (`icc_profile`, `exif`, `pnginfo`, `dpi`).

    Source: PNG specification (third edition), sections 5, 9 and 10.
    """
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    stream.write(MAGIC)
    stream.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)))
    stream.write(described(ancillary))
    compressor = zlib.compressobj(LEVEL)
    stride = width * channels * 2
    rows = max(1, BLOCK_BYTES // stride)
    above = np.zeros((1, stride), np.uint8)
    for start in range(0, height, rows):
        block = np.ascontiguousarray(array[start : start + rows], ">u2").view(np.uint8).reshape(-1, stride)
        filtered = np.empty((len(block), stride + 1), np.uint8)
        filtered[:, 0] = UP
        # Differences wrap around in 8 bits, as section 9.2 wants them.
        np.subtract(block, np.concatenate([above, block[:-1]]), out=filtered[:, 1:])
        above = block[-1:]
        data = compressor.compress(filtered)
        if data:
            stream.write(chunk(b"IDAT", data))
    stream.write(chunk(b"IDAT", compressor.flush()) + chunk(b"IEND", b""))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def described(options: Mapping[str, Any]) -> bytes:
    """Return the chunks that Pillow writes for these options: taken from a PNG of one pixel."""
    buffer = BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", **options)
    data, position, found = buffer.getvalue(), len(MAGIC), []
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            found.append(data[position:end])
        position = end
    return b"".join(found)
