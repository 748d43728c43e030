"""Whether all the pixels that a header promises are in the file; decoders fill what is missing with gray or black."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from restore.images.probe import CHECKED_BYTES, Damaged, png_chunks

__all__ = ["check_jpeg_data", "check_png_data"]

# PNG, table 11.1 and section 8.2: channels of each colour type, and first pixel and step of each interlacing pass.
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
PROGRESSIVE = 0xC2
ARITHMETIC = (0xC9, 0xCA)
GRAY = 128
SMALL = 100 * 64
LEAST_SPARE = 32
FILLER = bytes(byte for byte in np.random.default_rng(0).integers(1, 255, 320).tolist())


def check_png_data(stream: BinaryIO) -> None:
    """Raise `Damaged` when a checksum of the image data is wrong, or they end before the last row.

    Pillow checks neither.
    """
    missing, inflate = 0, zlib.decompressobj()
    for kind, length in png_chunks(stream):
        if kind == b"IHDR":
            missing = png_size(stream.read(length))
        if kind != b"IDAT":
            continue
        checksum = zlib.crc32(kind)
        while length > 0:
            block = stream.read(min(length, CHECKED_BYTES))
            if not block:
                raise Damaged("it ends too early")
            checksum = zlib.crc32(block, checksum)
            length -= len(block)
            while missing > 0 and block and not inflate.eof:
                missing -= len(inflate.decompress(block, CHECKED_BYTES))
                block = inflate.unconsumed_tail
        if stream.read(4) != checksum.to_bytes(4, "big"):
            raise Damaged("the checksum of its image data is wrong")
    if missing > 0:
        missing -= len(inflate.flush())
    if missing > 0:
        raise Damaged("its image data end before the last row")


def png_size(header: bytes) -> int:
    """Return the number of bytes of all rows, with their filter types, from the content of IHDR."""
    width, height = (int.from_bytes(header[place : place + 4], "big") for place in (0, 4))
    bits = header[8] * PNG_CHANNELS.get(header[9], 1)
    total = 0
    for left, top, across, down in PASSES if header[12] else ((0, 0, 1, 1),):
        columns, rows = math.ceil((width - left) / across), math.ceil((height - top) / down)
        total += rows * (1 + math.ceil(columns * bits / 8)) if columns > 0 and rows > 0 else 0
    return total


class Scan(NamedTuple):
    """A scan of a JPEG: its header, all tables since the scan before, and where its data begin and end."""

    header: bytes
    tables: bytes
    start: int
    end: int


def check_jpeg_data(data: bytes, image: Image.Image) -> bool:
    """Raise `Damaged` when a scan of a JPEG ends before the last of its blocks, or scans are missing.

    Returns:
        Whether its data go on behind the last block, by a tenth or more: then its height is false, too.

    Decoders take zeros for the data that are not there. So more data, put behind those of a scan, change the image if
    there was room for them, and nothing if the scan was complete.

    Args:
        data: the file.
        image: what Pillow decoded of it.
    """
    frame, scans = jpeg_scans(data)
    if not scans or frame in ARITHMETIC:
        return False  # arithmetic coding may leave out zeros at the end of a scan
    if frame == PROGRESSIVE and not refined(scan.header for scan in scans):
        raise Damaged("scans of its image are missing")
    plain, longer = bytearray(b"\xff\xd8"), bytearray(b"\xff\xd8")
    for scan in scans:
        # where data are coded in intervals, the last one may be whole, and the next ones missing
        restarts = len(RESTART.findall(data, scan.start, scan.end))
        more = b"".join(bytes([0xFF, 0xD0 + (restarts + n) % 8]) + FILLER[40 * n : 40 * n + 40] for n in range(8))
        plain += scan.tables + data[scan.start : scan.end]
        longer += scan.tables + data[scan.start : scan.end] + FILLER + more
    # what is coded in one go shows in the means of 8x8 pixels, which take less time; but of few such blocks a tenth of
    # the data is a part of one, which shows in no mean
    share = 1 if frame == PROGRESSIVE or image.width * image.height < SMALL else 8
    pixels = np.asarray(image) if share == 1 else jpeg_pixels(plain, share)
    if not np.array_equal(pixels, jpeg_pixels(longer, share)):
        raise Damaged("its image data end before the last row")
    spare = (scans[-1].end - scans[-1].start) // 10
    del plain[len(plain) - spare :]
    # blocks that are missing become gray, so that gray ones are no evidence; and a few bytes may be padding
    return (
        spare >= LEAST_SPARE and bool((pixels[-1] != GRAY).any()) and np.array_equal(pixels, jpeg_pixels(plain, share))
    )


def jpeg_pixels(data: bytearray, share: int = 1) -> NDArray:
    """Return the pixels of a JPEG whose end is missing, or the means of `share` times `share` of them."""
    image = JpegImagePlugin.JpegImageFile(BytesIO(data + b"\xff\xd9"), "")
    if share > 1:
        image.draft(None, (max(1, image.width // share), max(1, image.height // share)))
    return np.asarray(image)


def jpeg_scans(data: bytes) -> tuple[int, list[Scan]]:
    """Return the kind of frame (the second byte of its marker) and the scans of the first image of a JPEG."""
    frame, scans, tables, place = 0, [], bytearray(), 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = marker
        # comments and what programs add are left out: of those only Adobe's says something about the pixels
        if not 0xE0 <= marker <= 0xED and marker not in (0xEF, 0xFE):
            tables += data[place : place + 2 + length]
        if marker == 0xDA:
            start = place + 2 + length
            found = END_OF_SCAN.search(data, start)
            end = found.start() if found else len(data)
            scans.append(Scan(data[place + 4 : start], bytes(tables), start, end))
            tables, place = bytearray(), end
        else:
            place += 2 + length
    return frame, scans


def refined(headers: Iterator[bytes]) -> bool:
    """Return whether the scans of a progressive JPEG bring every coefficient that they begin to its last bit.

    Source: ITU-T T.81, sections B.2.3 and G.1.1.1.
    """
    low: dict[tuple[int, int], int] = {}
    components = set()
    for header in headers:
        count = header[0]
        first, last, shift = header[1 + 2 * count], header[2 + 2 * count], header[3 + 2 * count] & 15
        for index in range(count):
            components.add(header[1 + 2 * index])
            low.update({(header[1 + 2 * index], place): shift for place in range(first, min(last, 63) + 1)})
    return all(low.get((component, place), 1) == 0 for component in components for place in range(64))
