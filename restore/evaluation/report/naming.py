"""What files of a report are called: texts of any length and any characters, made names that every disk takes."""

from __future__ import annotations

from zlib import crc32

__all__ = ["file_name"]

MOST_BYTES = 150  # before the checksum: disks take 255 with the suffix


def file_name(text: str) -> str:
    """Return a file name for a text; its checksum keeps two texts apart whatever was replaced or cut off.

    >>> file_name("rain, 3/three")
    'rain__3_three-f0b90771'
    """
    plain = "".join(c if c.isalnum() or c in "-_+." else "_" for c in text)
    short = plain.encode()[:MOST_BYTES].decode(errors="ignore")
    return f"{short}-{crc32(text.encode('utf-8', 'surrogateescape')):08x}"
