"""How files are encoded: read off a file, and chosen for another one so that it loses no more."""

from __future__ import annotations

import re
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from restore.errors import ImageError
from restore.images.raster import Chroma, Encoding

__all__ = ["ALWAYS_LOSSLESS", "encoding_for", "encoding_of"]

LEAST_QUALITY = 95
"""The default quality, unless the source's is higher."""

FULL_CHROMA_QUALITY = 90
ALWAYS_LOSSLESS = ("PNG", "TIFF", "BMP", "PPM")
LOSSY_TIFF = frozenset({6, 7, 34887, 50001, 50002})  # old and new JPEG, LERC, WebP, JPEG XL
HEAD_BYTES = 1 << 16

# JPEG (ITU-T T.81), table K.1, of which libjpeg makes those of each quality.
# fmt: off
LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])
# fmt: on


def encoding_for(source: Encoding, kind: str, quality: int | None = None, lossless: bool | None = None) -> Encoding:
    """Return how an image is to be encoded in a format, every attribute set.

    What the source kept is kept: lossless stays lossless where the format can, the colour differences are as dense, the
    quality is at least that of the source, and at least 95.

    Args:
        source: how the image's file was encoded.
        kind: one of the formats that can be written.
        quality: 1 to 100, where the user says so; it is then not lossless where the format leaves the choice.
        lossless: what the user says, if anything.

    Raises:
        ImageError: a quality out of range, both at once, or lossless in a format that cannot be.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"quality must be 1 to 100, got {quality}")
    if lossless and quality is not None:
        raise ImageError(f"lossless leaves no choice of a quality, got {quality}: give one of the two")
    if lossless and kind not in (*ALWAYS_LOSSLESS, "WEBP"):
        raise ImageError(
            f"a {kind} is never lossless here: choose .png, .tif, .webp, .bmp or .ppm, or leave lossless out"
        )
    if lossless is None:
        lossless = quality is None and source.lossless is True
    exact = kind in ALWAYS_LOSSLESS or (lossless and kind == "WEBP")
    chosen = max(LEAST_QUALITY, source.quality or 0) if quality is None else quality
    dense: Chroma = "4:4:4" if chosen >= FULL_CHROMA_QUALITY else "4:2:0"
    return Encoding(exact, chosen, source.chroma or dense)


def encoding_of(image: Image.Image, stream: BinaryIO) -> Encoding:
    """Return how the file of an opened image is encoded, as far as its header states; the stream may end anywhere."""
    kind = image.format
    if kind in ("JPEG", "MPO"):
        return Encoding(
            False, jpeg_quality(getattr(image, "quantization", {})), jpeg_chroma(getattr(image, "layer", []))
        )
    if kind == "TIFF":
        return Encoding(getattr(image, "tag_v2", {}).get(Base.Compression, 1) not in LOSSY_TIFF)
    if kind in ("WEBP", "AVIF"):
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        return webp_encoding(head) if kind == "WEBP" else Encoding(False, None, avif_chroma(head))
    return Encoding(True if kind in (*ALWAYS_LOSSLESS, "GIF", "TGA") else None)


def jpeg_quality(tables: Any) -> int | None:
    """Return the lowest quality of libjpeg whose table is, on the whole, no coarser than the finest of some tables."""
    if not tables:
        return None
    finest = min(sum(table) for table in tables.values())
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        if int(np.clip((LUMINANCE * scale + 50) // 100, 1, 255).sum()) <= finest:
            return quality
    return 100


def jpeg_chroma(layers: Any) -> Chroma | None:
    """Return how dense the colour differences of a JPEG are, from (id, across, down, table) of its components."""
    factors = [tuple(layer[1:3]) for layer in layers]
    if len(factors) != 3 or factors[1] != factors[2]:
        return None
    ratio = (factors[0][0] / max(factors[1][0], 1), factors[0][1] / max(factors[1][1], 1))
    known: dict[tuple[float, float], Chroma] = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}
    return known.get(ratio)


def avif_chroma(head: bytes) -> Chroma | None:
    """Return how dense the colour differences of an AVIF are, from the configuration of its first image in colours.

    Source: AV1 Codec ISO Media File Format Binding, section 2.3.3.
    """
    for found in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL):
        flags = found[1][0]
        if not flags & 0x10:
            return {0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}.get(flags & 0x0C)  # type: ignore[return-value]
    return None


def webp_encoding(head: bytes) -> Encoding:
    """Return how a WebP is encoded, from the first of its images."""
    position = 12
    while position + 8 <= len(head):
        kind, length = struct.unpack_from("<4sI", head, position)
        if kind == b"VP8L":
            return Encoding(True)
        if kind == b"VP8 ":
            return Encoding(False, webp_quality(head[position + 8 :]), "4:2:0")
        # a frame of an animation holds such chunks behind 16 bytes of its own
        position += 24 if kind == b"ANMF" else 8 + length + length % 2
    return Encoding()


def webp_quality(frame: bytes) -> int | None:
    """Return the quality of libwebp that has the finest quantizer of a lossy frame; None where it cannot be found.

    Source: RFC 6386, sections 7.3 and 9.3 to 9.6; the quality as libwebp's encoder maps it to quantizers.
    """
    bits = _Bits(frame[10:])
    bits.take(2)
    finest, absolute = [], False
    if bits.take(1):
        new_map, new_data = bits.take(1), bits.take(1)
        if new_data:
            absolute = bool(bits.take(1))
            finest = [bits.signed(7) for _ in range(4)]
            for _ in range(4):
                bits.signed(6)
        if new_map:
            for _ in range(3):
                if bits.take(1):
                    bits.take(8)
    bits.take(10)
    if bits.take(1) and bits.take(1):
        for _ in range(8):
            bits.signed(6)
    bits.take(2)
    base = bits.take(7)
    index = min(value if absolute else base + value for value in finest) if finest else base
    share = (1 - min(max(index, 0), 127) / 127) ** 3
    linear = share * 1.5 if share < 0.5 else (share + 1) / 2
    return min(100, max(1, round(100 * linear)))


class _Bits:
    """The literals of a stream of VP8's boolean decoder, all of even odds (RFC 6386, section 7.3)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.range, self.value, self.count = data, 2, 255, 0, 0
        self.value = int.from_bytes(data[:2].ljust(2, b"\0"), "big")

    def take(self, count: int) -> int:
        """Return the next so many bits as a number."""
        number = 0
        for _ in range(count):
            split = 1 + ((self.range - 1) >> 1)
            bit = self.value >= split << 8
            if bit:
                self.range -= split
                self.value -= split << 8
            else:
                self.range = split
            while self.range < 128:
                self.value, self.range, self.count = self.value << 1, self.range << 1, self.count + 1
                if self.count == 8:
                    self.count = 0
                    self.value |= self.data[self.place] if self.place < len(self.data) else 0
                    self.place += 1
            number = number << 1 | bit
        return number

    def signed(self, count: int) -> int:
        """Return an optional number with a sign bit behind it, 0 where it is left out."""
        if not self.take(1):
            return 0
        size = self.take(count)
        return -size if self.take(1) else size
