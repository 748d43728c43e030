"""Two images side by side in one file: either half is read as an image of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from restore import images
from restore.errors import ImageError

__all__ = ["File", "Half", "decode", "path_of", "read_file", "size_of"]


@dataclass(frozen=True)
class Half:
    """The left or the right image of a file that holds two of equal size."""

    path: Path
    side: Literal["left", "right"]

    def __str__(self) -> str:
        return f"{self.path} ({self.side} half)"

    @property
    def name(self) -> str:
        """What a message calls it, without its folder."""
        return f"{self.path.name} ({self.side} half)"

    @property
    def suffix(self) -> str:
        """Of the file."""
        return self.path.suffix

    def of(self, whole: Tensor) -> Tensor:
        """Return this half of the pixels of the whole file, (..., H, W) to (..., H, W / 2).

        Raises:
            ImageError: the width is odd.
        """
        width = whole.shape[-1]
        if width % 2:
            raise ImageError(f"{self.path} is {width} pixels wide, which two images of equal width cannot be")
        return whole.chunk(2, dim=-1)[self.side == "right"]


File = Path | Half
"""Where an image of a data set lies."""


def path_of(file: File) -> Path:
    """Return the path of the file that holds the image."""
    return file.path if isinstance(file, Half) else file


def read_file(file: File) -> images.Photo:
    """Return the image.

    Raises:
        ImageError: the file cannot be read, or is a half of an odd width.
    """
    whole = images.read(path_of(file))
    if not isinstance(file, Half):
        return whole
    file.of(whole.pixels)  # raises where the width is odd
    middle = whole.width // 2
    return whole.columns(slice(middle) if file.side == "left" else slice(middle, None))


def decode(file: File) -> Tensor:
    """Return the image as uint8 (3, H, W).

    Raises:
        ImageError: the file cannot be decoded; the message names it.
    """
    return read_file(file).pixels.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def size_of(file: File) -> tuple[int, int] | None:
    """Return the (height, width) in the file's header, or None where the image could not be read."""
    size = images.peek(path_of(file))
    if size is None or not isinstance(file, Half):
        return size
    return None if size[1] % 2 else (size[0], size[1] // 2)
