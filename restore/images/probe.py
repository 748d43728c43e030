"""What can be told about a file before any decoder sees it: is it a plain file, what is it, is its skeleton sound."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from restore.errors import ImageError

__all__ = [
    "Damaged",
    "check_png_data",
    "check_png_skeleton",
    "explain",
    "gif_frames",
    "open_file",
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
BLOCK = 1 << 20


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
        what = "it is a folder, not a picture" if os.path.isdir(path) else reason(error)
        raise ImageError(f"cannot read {shown}: {what}") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    raise ImageError(f"cannot read {shown}: it is a {kind}, not a picture")


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
    """Return what a file that is no picture seems to be, from its first bytes, or None.

    >>> explain(b"<!DOCTYPE html><title>404")
    'an HTML page (a failed download?)'
    """
    for signature, meaning in SIGNATURES:
        if head.startswith(signature):
            return meaning
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev"):
        return "a HEIC photograph: export it as JPEG first"
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


def check_png_skeleton(stream: BinaryIO) -> None:
    """Raise `Damaged` when a PNG ends early or holds so many compressed texts that they may be a bomb."""
    compressed = 0
    for kind, _ in png_chunks(stream):
        compressed += kind in (b"zTXt", b"iTXt", b"iCCP")
        if compressed > MAX_COMPRESSED_CHUNKS:
            raise Damaged(f"it holds more than {MAX_COMPRESSED_CHUNKS} compressed texts")


def check_png_data(stream: BinaryIO) -> None:
    """Raise `Damaged` when the checksum of an image-data chunk is wrong (Pillow does not look at these)."""
    for kind, length in png_chunks(stream):
        if kind != b"IDAT":
            continue
        checksum = zlib.crc32(kind)
        while length > 0:
            block = stream.read(min(length, BLOCK))
            if not block:
                raise Damaged("it ends too early")
            checksum = zlib.crc32(block, checksum)
            length -= len(block)
        if stream.read(4) != checksum.to_bytes(4, "big"):
            raise Damaged("the checksum of its image data is wrong")


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
