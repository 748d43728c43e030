"""Whatever a caller holds (path, PIL image, array, tensor) to images, and images back to the same kind of thing."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restore.errors import ArrayError
from restore.images.decode import decode_image
from restore.images.notices import codec_errors
from restore.images.photo import Photo
from restore.images.raster import Raster
from restore.images.read import DAMAGED, MAX_PIXELS, check_size, read
from restore.images.values import alpha_as, to_pixels, to_unit

__all__ = ["Form", "from_any", "to_photo"]

ACCEPTED = (
    "accepted are a path, a PIL image, an array (H,W), (H,W,3), (H,W,4) or (3,H,W) and a tensor (3,H,W), "
    "or a batch of these with one more axis in front; uint8, uint16, or floats in 0..1"
)
CHANNELS = (1, 3, 4)
TOLERANCE = 1e-3


class Form(ABC):
    """How to give back what came in: same kind, layout, type and device."""

    @abstractmethod
    def to_same_kind(self, images: Sequence[Photo]) -> Any:
        """Return the images as the kind of thing that they came from.

        Raises:
            ArrayError: not as many images as came in, or batched images of different sizes.
        """


@dataclass(frozen=True)
class FileForm(Form):
    """A path came in: a `Photo` goes back, which knows how to save itself."""

    def to_same_kind(self, images: Sequence[Photo]) -> Photo:
        """Return the one image."""
        return only(images)


@dataclass(frozen=True)
class PilForm(Form):
    """A PIL image came in."""

    def to_same_kind(self, images: Sequence[Photo]) -> Image.Image:
        """Return the one image as a PIL image."""
        return only(images).to_pil()


@dataclass(frozen=True)
class ArrayForm(Form):
    """A numpy array came in.

    Attributes:
        dtype: its type.
        channels: `last`, `first`, or `none` for (H, W).
        batched: whether a batch axis stood in front.
    """

    dtype: np.dtype[Any]
    channels: str
    batched: bool

    def to_same_kind(self, images: Sequence[Photo]) -> NDArray:
        """Return an array of the same type and layout."""
        arrays = [self.one(image) for image in images]
        return np.stack(same_size(arrays)) if self.batched else only(arrays)

    def one(self, image: Photo) -> NDArray:
        """Return one image in the layout of the array."""
        array = image.array(self.dtype)
        if self.channels == "none":
            return array
        array = array[..., None] if array.ndim == 2 else array
        return np.ascontiguousarray(np.moveaxis(array, -1, 0)) if self.channels == "first" else array


@dataclass(frozen=True)
class TensorForm(Form):
    """A torch tensor came in.

    Attributes:
        dtype: its type.
        device: where it lay.
        channels: whether it had an axis of channels.
        batched: whether a batch axis stood in front.
    """

    dtype: torch.dtype
    device: torch.device
    channels: bool
    batched: bool

    def to_same_kind(self, images: Sequence[Photo]) -> Tensor:
        """Return a tensor of the same type, layout and device, without gradients."""
        tensors = [self.one(image) for image in images]
        return torch.stack(same_size(tensors)) if self.batched else only(tensors)

    def one(self, image: Photo) -> Tensor:
        """Return one image as a tensor in the layout that came in."""
        values = to_unit(image.stored().detach(), gray=image.gray).to(self.device)
        if image.alpha is not None:
            alpha = torch.from_numpy(alpha_as(image.alpha, np.float32)).to(self.device)
            values = torch.cat([values, alpha[None]])
        if not self.dtype.is_floating_point:
            values = values.mul_(torch.iinfo(self.dtype).max).round_()
        # what came in gray without an axis of channels has one if it comes back in colour
        return (values if self.channels or len(values) > 1 else values[0]).to(self.dtype)


def from_any(image: Any, *, max_pixels: int = MAX_PIXELS) -> tuple[list[Photo], Form]:
    """Return the images in `image` and the form in which to give them back.

    Args:
        image: a path; a PIL image (EXIF orientation is applied); a numpy array (H, W), (H, W, 1|3|4) or (1|3|4, H, W);
            a torch tensor (H, W) or (1|3|4, H, W); arrays and tensors also with a batch axis in front. Values are
            uint8, uint16 or floats in [0, 1]. An array that could be read both ways has its channels last. A fourth
            channel is alpha. Gradients are cut.
        max_pixels: limit for files and PIL images.

    Returns:
        One image, or one per item of a batch, with pixels on the device of the tensor that came in; and the form.

    Raises:
        ImageError: a file that cannot be read.
        ArrayError: any other type, shape, or range of values.
    """
    if isinstance(image, str | os.PathLike):
        return [read(image, max_pixels=max_pixels)], FileForm()
    if isinstance(image, Photo):
        return [image.filled()], FileForm()
    if isinstance(image, Image.Image):
        return [from_pil(image, max_pixels)], PilForm()
    if isinstance(image, Tensor):
        return from_tensor(image)
    if isinstance(image, np.ndarray):
        return from_array(image)
    raise ArrayError(f"a {type(image).__name__} is not an image; {ACCEPTED}")


def to_photo(image: Any, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Return the one image in `image`; see `from_any`.

    Raises:
        ArrayError: it is a batch of several images.
    """
    images, _ = from_any(image, max_pixels=max_pixels)
    return only(images)


def from_pil(image: Image.Image, max_pixels: int) -> Photo:
    """Return the image in a PIL image (which may be a file that is not decoded yet)."""
    name = "the PIL image"
    if 0 in image.size:
        raise ArrayError(f"a PIL image of {image.width}x{image.height} pixels holds nothing")
    check_size(image.size, name, max_pixels)
    with codec_errors(f"cannot read {name}", DAMAGED):
        return Photo.of(decode_image(image, name))


def from_array(array: NDArray) -> tuple[list[Photo], Form]:
    """Return the images in a numpy array and its form."""
    check_type(
        array.dtype.kind == "f" or array.dtype.newbyteorder("=") in (np.uint8, np.uint16), array.shape, array.dtype
    )
    channels, batched = axes_of(array.shape)
    if array.dtype.kind == "f":
        check_range(array, array.shape)
    items = array if batched else array[None]
    if channels == "first":
        items = np.moveaxis(items, 1, -1)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        items = items.astype(np.float64)
    form = ArrayForm(array.dtype, channels, batched)
    return [from_channels(item) for item in items], form


def from_channels(item: NDArray) -> Photo:
    """Return the image in one array (H, W) or (H, W, 1|3|4) whose type and range are good."""
    alpha = None
    if item.ndim == 3 and item.shape[2] == 4:
        kind = item.dtype.newbyteorder("=") if item.dtype.kind == "u" else np.float32
        alpha = np.ascontiguousarray(item[..., 3], kind)
        item = item[..., :3]
    gray = item.ndim == 2 or item.shape[2] == 1
    depth = 16 if item.dtype.kind == "u" and item.dtype.itemsize == 2 else 8
    pixels = to_pixels(item[..., 0] if gray and item.ndim == 3 else item)
    return Photo.of(Raster(pixels, gray=gray, depth=depth, alpha=alpha, mode="L" if gray else "RGB"))


def from_tensor(tensor: Tensor) -> tuple[list[Photo], Form]:
    """Return the images in a torch tensor, on its device, and its form."""
    integer = tensor.dtype in (torch.uint8, torch.uint16)
    check_type(tensor.is_floating_point() or integer, tuple(tensor.shape), tensor.dtype)
    tensor = tensor.detach()
    channels, batched = axes_of(tuple(tensor.shape), only_first=True)
    if not integer:
        check_range(tensor, tuple(tensor.shape))
    items = tensor if batched else tensor[None]
    items = items if channels == "first" else items[:, None]
    white = float(torch.iinfo(tensor.dtype).max) if integer else 1.0
    images = []
    for item in items:
        count = item.shape[0]
        pixels = item[:3].to(torch.float32, copy=True).mul_(2.0 / white).sub_(1.0)
        alpha = None
        if count == 4:
            alpha = (item[3] if integer else item[3].float()).cpu().numpy()
        gray = count == 1
        pixels = pixels.expand(3, -1, -1).contiguous() if gray else pixels.contiguous()
        depth = 16 if tensor.dtype == torch.uint16 else 8
        raster = Raster(pixels, gray=gray, depth=depth, alpha=alpha, mode="L" if gray else "RGB")
        images.append(Photo.of(raster))
    return images, TensorForm(tensor.dtype, tensor.device, channels == "first", batched)


def axes_of(shape: tuple[int, ...], only_first: bool = False) -> tuple[str, bool]:
    """Return where the channels stand (`none`, `last`, `first`) and whether a batch axis stands in front.

    Raises:
        ArrayError: no such layout, or an axis without elements.
    """
    if 0 in shape:
        raise ArrayError(f"an array of shape {shape} holds no image; {ACCEPTED}")
    if len(shape) == 2:
        return "none", False
    if len(shape) in (3, 4):
        batched = len(shape) == 4
        if not only_first and shape[-1] in CHANNELS:
            return "last", batched
        if shape[-3] in CHANNELS:
            return "first", batched
        if only_first and shape[-1] in CHANNELS:
            raise ArrayError(f"a tensor of shape {shape} has its channels last; use permute to put them first")
    raise ArrayError(f"an array of shape {shape} is not an image; {ACCEPTED}")


def check_type(good: bool, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise `ArrayError` when the type is none of those accepted."""
    if not good:
        raise ArrayError(f"an array of shape {shape} and type {dtype} is not an image; {ACCEPTED}")


def check_range(values: Any, shape: tuple[int, ...]) -> None:
    """Raise `ArrayError` when floats hold NaN or infinity or leave 0..1."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ArrayError(f"the floats of shape {shape} hold NaN or infinity; replace these values first")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        hint = "divide by 255 first" if 1 < high <= 255 and low >= 0 else "scale them to 0..1 first"
        raise ArrayError(f"the floats of shape {shape} run from {low:g} to {high:g}, accepted is 0..1; {hint}")


def only(items: Sequence[Any]) -> Any:
    """Return the one item.

    Raises:
        ArrayError: there is none or more than one.
    """
    if len(items) != 1:
        raise ArrayError(f"one image is wanted here, got {len(items)}")
    return items[0]


def same_size(items: list[Any]) -> list[Any]:
    """Return the items when all have one shape, else raise `ArrayError`."""
    shapes = {tuple(item.shape) for item in items}
    if len(shapes) != 1:
        raise ArrayError(f"images of different sizes do not fit into one batch: {sorted(shapes)}")
    return items
