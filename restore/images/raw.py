"""Raw files of cameras, developed by LibRaw with the white balance of the camera; needs rawpy (the extra `raw`)."""

from __future__ import annotations

from typing import Any, BinaryIO

from restore.images.quiet import hushed_stderr
from restore.images.raster import Encoding, Raster
from restore.images.values import to_pixels

__all__ = ["raw_size", "read_raw"]


def raw_size(stream: BinaryIO) -> tuple[int, int]:
    """Return the (width, height) of a raw file's image, upright."""
    with opened(stream, unpacked=False) as raw:
        sizes = raw.sizes
        # flips 5 and 6 are quarter turns
        return (sizes.height, sizes.width) if sizes.flip in (5, 6) else (sizes.width, sizes.height)


def read_raw(stream: BinaryIO) -> Raster:
    """Return the image of a raw file: 16 bits of sRGB, upright.

    Raises:
        LibRawError: it is damaged, or of a camera that LibRaw does not know.
    """
    with opened(stream, unpacked=True) as raw:
        colours = raw.postprocess(use_camera_wb=True, output_bps=16)
    return Raster(to_pixels(colours), depth=16, format="RAW", encoding=Encoding(True))


def opened(stream: BinaryIO, unpacked: bool) -> Any:
    """Return the opened file, a context manager."""
    import rawpy

    stream.seek(0)
    with hushed_stderr():
        raw = rawpy.imread(stream)
        if unpacked:
            raw.raw_image  # noqa: B018  (unpacks it, which is when LibRaw prints what is wrong)
    return raw
