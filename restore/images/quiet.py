"""Libraries in C that print lines of their own to stderr, where a user shall read ours alone."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import PIL
from PIL import Image

__all__ = ["hush_libtiff", "hushed_opencv", "hushed_stderr"]

_descriptor = threading.Lock()


@cache
def hush_libtiff() -> None:
    """Let Pillow's libtiff print nothing; its errors reach us as exceptions all the same.

    Pillow offers no way to do so. Where its libtiff cannot be found, it goes on printing.
    """
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    Image.core  # noqa: B018  (loads it)
    for path in libtiffs():
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)


def libtiffs() -> set[str]:
    """Return the paths of the libtiff that this process has loaded, or may have."""
    maps = Path("/proc/self/maps")
    with suppress(OSError):
        loaded = {line.split(maxsplit=5)[-1].strip() for line in maps.read_text().splitlines() if "libtiff" in line}
        if loaded:
            return loaded
    return {str(path) for path in Path(PIL.__file__).parent.glob(".dylibs/libtiff*")}


@contextmanager
def hushed_opencv() -> Iterator[None]:
    """Let OpenCV print nothing inside the block."""
    import cv2

    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(level)


@contextmanager
def hushed_stderr() -> Iterator[None]:
    """Let nothing in this process print to stderr inside the block: for libraries that offer no other way."""
    with _descriptor:
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
