"""Checks of a file before any decoder reads it: is it a plain file, what is it, is its skeleton sound."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import struct
from collections.abc import Iterator
from typing import BinaryIO

from restore.errors import ImageError

__all__ = [
    "CHECKED_BYTES",
    "Damaged",
    "check_header",
    "explain",
    "gif_frames",
    "jpeg2000_bits",
    "open_file",
    "png_chunks",
    "reason",
    "tiff_pages",
]

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer: fetch the file itself with `git lfs pull`"),
    (b"%PDF", "a PDF document: export its pages as PNG first"),
    (b"%!PS", "a PostScript drawing: export it as PNG first"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing: export it as PNG first"),
    (b"8BPS", "a Photoshop document: export it as TIFF or PNG first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"Rar!", "a rar archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
)
MAX_COMPRESSED_CHUNKS = 32
MAX_PARTS, TINY = 10_000, 64
MAX_COMMENT = 1 << 20
PORTABLE_HEADER = 1 << 16
CODESTREAM = b"\xff\x4f\xff\x51"  # how the image of a JPEG 2000 begins
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CHECKED_BYTES = 1 << 20


class Damaged(Exception):
    """The skeleton of a file is not sound; the message says where."""


def open_file(path: str, shown: str) -> BinaryIO:
    """Return an open stream of a regular file; never waits, whatever the path names.

    Raises:
        ImageError: nothing there, a folder, a pipe, a device, a loop of links, or no permission.
    """
    try:
        # A pipe would hold the caller at open() until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        what = "it is a folder, not an image" if os.path.isdir(path) else reason(error)
        raise ImageError(f"cannot read {shown}: {what}") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    raise ImageError(f"cannot read {shown}: it is a {kind}, not an image")


def reason(error: Exception) -> str:
    """Return why the operating system refused, in few words."""
    known = {
        errno.ENOENT: "no such file",
        errno.ELOOP: "it is a link that leads back to itself",
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENAMETOOLONG: "its name is too long",
        errno.ENOSPC: "no space left on the disk",
        errno.EROFS: "the disk is read-only",
    }
    number = getattr(error, "errno", None)
    detail = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return known.get(number, detail) if number is not None else detail


def explain(head: bytes) -> str | None:
    """Return what a file that is no image seems to be, from its first bytes, or None.

    >>> explain(b"<!DOCTYPE html><title>404")
    'an HTML page (a failed download?)'
    """
    for signature, meaning in SIGNATURES:
        if head.startswith(signature):
            return meaning
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start[:1024]:
        return "an SVG drawing: export it as PNG first"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page (a failed download?)"
    try:
        # The last character may be cut in half.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    return "a text file" if text and all(c.isprintable() or c.isspace() for c in text) else None


def png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield (kind, length) of each chunk, with the stream at its first data byte.

    Raises:
        Damaged: the file ends before the closing chunk.
    """
    position = 8
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            raise Damaged("it ends too early")
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        if kind == b"IEND":
            if len(stream.read(4)) < 4:
                raise Damaged("it ends too early")
            return
        position += 12 + length


def check_header(stream: BinaryIO, kind: str) -> None:
    """Raise `Damaged` when the header of a file is so long or has so many parts that parsing it would take long."""
    stream.seek(0)
    check = {
        "PNG": check_png_skeleton,
        "JPEG": check_jpeg_segments,
        "GIF": check_gif_extensions,
        "PPM": check_portable_header,
        "TIFF": check_tiff_table,
        "JPEG2000": check_jpeg2000_boxes,
    }.get(kind)
    if check:
        check(stream)


def check_png_skeleton(stream: BinaryIO) -> None:
    """Raise `Damaged` when a PNG ends early, or holds very many chunks or compressed texts: floods and bombs."""
    compressed = tiny = 0
    for kind, length in png_chunks(stream):
        compressed += kind in (b"zTXt", b"iTXt", b"iCCP")
        tiny += length < TINY
        if compressed > MAX_COMPRESSED_CHUNKS:
            raise Damaged(f"it holds more than {MAX_COMPRESSED_CHUNKS} compressed texts")
        if tiny > MAX_PARTS:
            raise Damaged(f"it holds more than {MAX_PARTS} chunks of next to nothing")


def check_jpeg_segments(stream: BinaryIO) -> None:
    """Raise `Damaged` when a JPEG has very many segments before its image."""
    stream.seek(2)
    for _ in range(MAX_PARTS):
        head = stream.read(4)
        while head[:2] == b"\xff\xff":
            head = head[1:] + stream.read(1)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
            return
        stream.seek(int.from_bytes(head[2:], "big") - 2, os.SEEK_CUR)
    raise Damaged(f"it holds more than {MAX_PARTS} segments before its image")


def check_gif_extensions(stream: BinaryIO) -> None:
    """Raise `Damaged` when more than a megabyte of comments and the like stand before the first frame of a GIF."""
    stream.seek(10)
    packed = stream.read(1)
    stream.seek(13 + (3 << ((packed[0] & 7) + 1) if packed and packed[0] & 0x80 else 0))
    passed = 0
    while stream.read(1) == b"!":
        stream.seek(1, os.SEEK_CUR)
        while (size := stream.read(1)) and size != b"\0":
            stream.seek(size[0], os.SEEK_CUR)
            passed += 1 + size[0]
            if passed > MAX_COMMENT:
                raise Damaged(f"more than {MAX_COMMENT >> 20} MB of comments stand before its first frame")


def check_portable_header(stream: BinaryIO) -> None:
    """Raise `Damaged` when the numbers at the beginning of a PNM or PFM file come late or not at all."""
    head = stream.read(PORTABLE_HEADER)
    fields = 2 if head[1:2] in b"14" else 3
    if not re.match(rb"P\w" + rb"(?:\s|#[^\r\n]*[\r\n])+[-+.\w]+" * fields + rb"\s", head):
        raise Damaged(f"its header is damaged or longer than {PORTABLE_HEADER >> 10} KB")


def check_tiff_table(stream: BinaryIO) -> None:
    """Raise `Damaged` when the values of the first page of a TIFF are larger than the file."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    first, count, entry, place = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    if len(head) < 16:
        raise Damaged("it ends inside its header")
    stream.seek(struct.unpack_from(order + first, head, place)[0])
    number = stream.read(struct.calcsize(count))
    if len(number) < struct.calcsize(count):
        raise Damaged("it ends inside its table of pages")
    size, total = (20, 0) if big else (12, 0)
    for _ in range(min(struct.unpack(order + count, number)[0], 65535)):
        line = stream.read(size)
        if len(line) < size:
            raise Damaged("it ends inside its table of pages")
        _, kind, values = struct.unpack_from(order + entry, line)
        total += values * TIFF_SIZES.get(kind, 1)
        if total > end + CHECKED_BYTES:
            raise Damaged("the values of its first page would be larger than the file")


def check_jpeg2000_boxes(stream: BinaryIO) -> None:
    """Raise `Damaged` when a JPEG 2000 has very many boxes, or a very long header, before its image."""
    if stream.read(4) == CODESTREAM:
        return
    stream.seek(0)
    for _ in range(MAX_PARTS):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"jp2c":
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(stream.read(8), "big") - 8
        if length < 8 or (head[4:] == b"jp2h" and length > MAX_COMMENT):
            raise Damaged("the boxes before its image make no sense")
        stream.seek(length - 8, os.SEEK_CUR)
    raise Damaged(f"it holds more than {MAX_PARTS} boxes before its image")


def jpeg2000_bits(stream: BinaryIO) -> int:
    """Return the bits per channel of a JPEG 2000, of its first channel (ITU-T T.800, section A.5.1), or 8."""
    stream.seek(0)
    head = stream.read(PORTABLE_HEADER)
    place = head.find(CODESTREAM) + 42
    return (head[place] & 0x7F) + 1 if place >= 42 and place < len(head) else 8


def gif_frames(stream: BinaryIO, limit: int) -> int:
    """Return the number of frames of a GIF, at most `limit + 1`, without decoding; a cut file has those before."""
    stream.seek(0)
    head = stream.read(13)
    if len(head) < 13:
        return 0
    if head[10] & 0x80:
        stream.seek(3 << ((head[10] & 7) + 1), os.SEEK_CUR)
    frames = 0
    while frames <= limit:
        block = stream.read(1)
        if block == b",":
            frames += 1
            descriptor = stream.read(9)
            if len(descriptor) == 9 and descriptor[8] & 0x80:
                stream.seek(3 << ((descriptor[8] & 7) + 1), os.SEEK_CUR)
            stream.seek(1, os.SEEK_CUR)
        elif block == b"!":
            stream.seek(1, os.SEEK_CUR)
        else:
            break
        while (size := stream.read(1)) and size != b"\0":
            stream.seek(size[0], os.SEEK_CUR)
    return frames


def tiff_pages(stream: BinaryIO, limit: int) -> int:
    """Return the number of pages of a TIFF or BigTIFF, at most `limit + 1`, without decoding.

    Raises:
        Damaged: the chain of pages leads back to itself or out of the file.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    word, count, entry, first = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    try:
        offset = struct.unpack_from(order + word, head, first)[0]
        seen: set[int] = set()
        while offset and len(seen) <= limit:
            if offset in seen:
                raise Damaged("its chain of pages runs in a circle")
            seen.add(offset)
            if offset >= end:
                raise Damaged(f"a page should begin at byte {offset}, the file ends at byte {end}")
            stream.seek(offset)
            entries = struct.unpack(order + count, stream.read(struct.calcsize(count)))[0]
            stream.seek(offset + struct.calcsize(order + count) + entries * entry)
            offset = struct.unpack(order + word, stream.read(struct.calcsize(order + word)))[0]
    except struct.error:
        raise Damaged("it ends inside its table of pages") from None
    return len(seen)
