"""The `Picture`: pixels for the networks, and beside them all that is needed to give the same kind back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restore.errors import ArrayError
from restore.images.values import resize_alpha, to_array

__all__ = ["ImageWarning", "Metadata", "Picture", "printable"]


class ImageWarning(UserWarning):
    """Something in a picture was left aside (later frames, a broken profile); the picture itself is good."""


def printable(path: object) -> str:
    r"""Return the name of `path` on one line, with control characters escaped.

    >>> printable("a" + chr(10) + "b.png")
    'a\\nb.png'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(path))


@dataclass(frozen=True, eq=False)
class Metadata:
    """What a file says about its pixels.

    Attributes:
        icc: ICC profile, which the pixels still follow.
        exif: EXIF block without the orientation tag, beginning with its six-byte marker.
        xmp: XMP packet, with its orientation set to upright.
        text: text chunks and comments, by keyword.
        dpi: horizontal and vertical resolution in dots per inch.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, upright.

    Attributes:
        pixels: (3, H, W) float32 in [-1, 1], on any device; three equal channels for a gray picture.
        gray: whether the picture goes back as one channel (Rec. 601 luma).
        depth: bits per channel to go back to: 8, 16, or 32 for floats.
        white: the value that means white in a float file (depth 32).
        alpha: (H, W) uint8, uint16 or float, kept beside the colours, or None.
        metadata: profile, EXIF and the like.
        mode: Pillow's name of the pixel layout of the original.
        format: Pillow's name of the file format, None for arrays.
        source: absolute path of the file, None for arrays.
    """

    pixels: Tensor
    gray: bool = False
    depth: int = 8
    white: float = 1.0
    alpha: NDArray | None = None
    metadata: Metadata = field(default_factory=Metadata)
    mode: str = "RGB"
    format: str | None = None
    source: Path | None = None

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.pixels.shape[-2]

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.pixels.shape[-1]

    @property
    def name(self) -> str:
        """File name on one line, or `picture` when it came from an array."""
        return printable(self.source.name) if self.source else "picture"

    def __repr__(self) -> str:
        colours = "gray" if self.gray else "colour"
        alpha = " with alpha" if self.alpha is not None else ""
        return f"Picture({self.name}: {self.width}x{self.height} {colours}{alpha}, {self.depth} bit)"

    def with_pixels(self, pixels: Tensor) -> Picture:
        """Return this picture with other pixels, of the same or of another size (the alpha is resized along).

        Args:
            pixels: (3, H, W) floats in [-1, 1]; gradients are cut, values are kept as they are.

        Raises:
            ArrayError: the tensor is not (3, H, W) floats.
        """
        if pixels.ndim != 3 or pixels.shape[0] != 3 or 0 in pixels.shape or not pixels.is_floating_point():
            raise ArrayError(f"pixels must be a (3, H, W) float tensor, got {tuple(pixels.shape)} of {pixels.dtype}")
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[-2:]:
            alpha = resize_alpha(alpha, (pixels.shape[-2], pixels.shape[-1]))
        return replace(self, pixels=pixels.detach().to(torch.float32), alpha=alpha)

    def to_pil(self) -> Image.Image:
        """Return the picture as a PIL image of its own depth, with alpha and metadata where PIL has a mode for it.

        16 bits survive for gray without alpha (`I;16`), floats for gray (`F`); all else is 8 bit.
        """
        dtype = {16: np.uint16, 32: np.float32}.get(self.depth, np.uint8)
        plain = self.gray and self.alpha is None
        array = to_array(
            self.pixels, gray=self.gray, dtype=dtype if plain else np.uint8, alpha=self.alpha, white=self.white
        )
        image = Image.fromarray(array)
        known = self.metadata
        facts = {"icc_profile": known.icc, "exif": known.exif, "xmp": known.xmp, "dpi": known.dpi, **known.text}
        image.info.update({key: value for key, value in facts.items() if value is not None})
        return image

    def save(self, path: str | PathLike[str], *, overwrite: bool = False, quality: int = 95) -> None:
        """Write the picture to a file; see `restore.images.write`."""
        from restore.images.write import write

        write(self, path, overwrite=overwrite, quality=quality)
