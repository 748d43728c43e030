"""Pixels for the networks, and beside them all that is needed to give the same kind back. Nothing here knows files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from restore.errors import ArrayError
from restore.images.fill import flow_in
from restore.images.notices import printable
from restore.images.values import resize_alpha, to_array

__all__ = ["Chroma", "Encoding", "Metadata", "Raster"]

Chroma = Literal["4:4:4", "4:2:2", "4:2:0"]
"""At how many pixels a file keeps the colour differences: at all, at every second of a row, at one of four."""


@dataclass(frozen=True, eq=False)
class Metadata:
    """A file's metadata about its pixels.

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


@dataclass(frozen=True)
class Encoding:
    """How the file of an image was encoded, so that another one loses no more; None is what is not known.

    Attributes:
        lossless: whether the file holds the very pixels that were saved.
        quality: 1 to 100, as the encoder of its format counts.
        chroma: at how many pixels the colour differences are kept.
    """

    lossless: bool | None = None
    quality: int | None = None
    chroma: Chroma | None = None


@dataclass(frozen=True, eq=False)
class Raster:
    """One image, upright.

    Attributes:
        pixels: (3, H, W) float32 in [-1, 1], on any device; three equal channels for a gray image. Where nothing is
            seen (`alpha` 0) they continue the colours around.
        gray: whether the image goes back as one channel (Rec. 601 luma).
        depth: bits per channel to go back to: 8, 16, or 32 for floats.
        white: the value that means white in a float file (depth 32).
        alpha: (H, W) uint8, uint16 or float, kept beside the colours, or None.
        under: (3, H, W) colours as the file has them, of which those under alpha 0 go back; None where all are seen.
        metadata: profile, EXIF and the like.
        encoding: how its file was encoded.
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
    under: Tensor | None = None
    encoding: Encoding = Encoding()

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
        """File name on one line, or `image` when it came from an array."""
        return printable(self.source.name) if self.source else "image"

    def __repr__(self) -> str:
        colours = "gray" if self.gray else "colour"
        alpha = " with alpha" if self.alpha is not None else ""
        return f"{type(self).__name__}({self.name}: {self.width}x{self.height} {colours}{alpha}, {self.depth} bit)"

    def filled(self) -> Self:
        """Return the image with the colours under alpha 0 kept in `under`, and those around in their place.

        What nobody sees must not reach a network or a filter, whose results are seen.
        """
        if self.alpha is None or self.under is not None or (self.alpha > 0).all():
            return self
        clear = self._clear()[None, None]
        return replace(self, pixels=flow_in(self.pixels[None], clear.to(self.pixels))[0], under=self.pixels)

    def stored(self) -> Tensor:
        """Return the (3, H, W) pixels as a file with alpha has them: the original's colours where nothing is seen."""
        if self.alpha is None or self.under is None:
            return self.pixels
        return torch.where(self._clear(), self.under.to(self.pixels), self.pixels)

    def _clear(self) -> Tensor:
        """Return (H, W): where nothing is seen."""
        assert self.alpha is not None
        return torch.from_numpy(self.alpha <= 0).to(self.pixels.device)

    def with_pixels(self, pixels: Tensor) -> Self:
        """Return this image with other pixels, of the same or of another size (the alpha is resized along).

        Args:
            pixels: (3, H, W) floats in [-1, 1]; gradients are cut, values are kept as they are.

        Raises:
            ArrayError: the tensor is not (3, H, W) floats.
        """
        if pixels.ndim != 3 or pixels.shape[0] != 3 or 0 in pixels.shape or not pixels.is_floating_point():
            raise ArrayError(f"pixels must be a (3, H, W) float tensor, got {tuple(pixels.shape)} of {pixels.dtype}")
        size, alpha, under = (pixels.shape[-2], pixels.shape[-1]), self.alpha, self.under
        if alpha is not None and alpha.shape != size:
            alpha = resize_alpha(alpha, size)
        if under is not None and under.shape[-2:] != size:
            # the nearest colour is one of those that nobody sees; a mean would take others in
            under = functional.interpolate(under[None], size, mode="nearest-exact")[0]
        return replace(self, pixels=pixels.detach().to(torch.float32), alpha=alpha, under=under)

    def encoded(self, encoding: Encoding) -> Self:
        """Return this image with what is known about the encoding of its file."""
        return replace(self, encoding=encoding)

    def padded(self, left: int, top: int, right: int, bottom: int) -> Self:
        """Return this image with so many more pixels on each side: opaque, and mid-gray until they are replaced."""
        around, alpha, under = (left, right, top, bottom), self.alpha, self.under
        if alpha is not None:
            opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1.0
            alpha = np.pad(alpha, ((top, bottom), (left, right)), constant_values=opaque)
        if under is not None:
            under = functional.pad(under, around)
        return replace(self, pixels=functional.pad(self.pixels, around), alpha=alpha, under=under)

    def columns(self, part: slice) -> Self:
        """Return some of the columns of this image."""
        alpha = None if self.alpha is None else self.alpha[:, part]
        under = None if self.under is None else self.under[..., part]
        return replace(self, pixels=self.pixels[..., part], alpha=alpha, under=under)

    def array(self, dtype: DTypeLike, *, alpha: bool = True) -> NDArray:
        """Return (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) values, the alpha, if any and wanted, last.

        Args:
            dtype: an unsigned integer type (0..largest) or a float type (0..1).
            alpha: off leaves the alpha away.

        Raises:
            ArrayError: the pixels hold NaN or infinity.
        """
        return to_array(self.stored(), gray=self.gray, dtype=dtype, alpha=self.alpha if alpha else None)

    def to_pil(self) -> Image.Image:
        """Return the image as a PIL image of its own depth, with alpha and metadata where PIL has a mode for it.

        16 bits survive for gray without alpha (`I;16`), floats for gray (`F`); all else is 8 bit.
        """
        dtype = {16: np.uint16, 32: np.float32}.get(self.depth, np.uint8)
        plain = self.gray and self.alpha is None
        array = to_array(
            self.stored(), gray=self.gray, dtype=dtype if plain else np.uint8, alpha=self.alpha, white=self.white
        )
        image = Image.fromarray(array)
        known = self.metadata
        facts = {"icc_profile": known.icc, "exif": known.exif, "xmp": known.xmp, "dpi": known.dpi, **known.text}
        image.info.update({key: value for key, value in facts.items() if value is not None})
        return image
