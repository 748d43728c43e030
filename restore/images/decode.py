"""Pixels of an opened PIL image, whatever its mode, as gray or RGB arrays of 8, 16 or 32 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms
from PIL.ExifTags import Base

from restore.errors import ImageError
from restore.images.metadata import collect, usable_profile
from restore.images.raster import Metadata, Raster
from restore.images.values import to_pixels

__all__ = ["Decoded", "decode_image", "float_white", "upright_raster"]

# Resampling overshoots a little; that much is clipped in silence.
FLOAT_TOLERANCE = 0.01
INTEGER_SCALES = (255, 65535, 2**31 - 1, 2**32 - 1)


@dataclass(frozen=True)
class Decoded:
    """Colours (H, W) or (H, W, 3) where `white` means white, alpha (H, W), and the depth to go back to."""

    colours: NDArray
    alpha: NDArray | None = None
    depth: int = 8
    white: float = 255.0
    space: str = ""


def decode_image(image: Image.Image, name: str, reopen: Callable[[], Image.Image] | None = None) -> Raster:
    """Return an opened image with its orientation applied.

    Args:
        image: decoded here if it was not yet.
        name: what error messages call it.
        reopen: gives a second, undecoded copy of the same file; needed for 16-bit colour.

    Raises:
        ImageError: a mode or a range of values that has no meaning as an image.
    """
    deep = None if reopen is None else more_than_eight_bits(image, name, reopen)
    if deep is None:
        image.load()
    found = deep or by_mode(image, name)
    orientation, metadata = collect(image, name)
    return upright_raster(found, orientation, metadata, image, name)


def upright_raster(found: Decoded, orientation: int, metadata: Metadata, image: Image.Image, name: str) -> Raster:
    """Return the image of decoded arrays and the facts about them."""
    gray = found.colours.ndim == 2
    # Converted colours are sRGB, which is what an absent profile means.
    icc = None if found.space else usable_profile(metadata.icc, "GRAY" if gray else "RGB", name)
    alpha = None if found.alpha is None else np.ascontiguousarray(upright(found.alpha, orientation))
    return Raster(
        pixels=to_pixels(upright(found.colours, orientation), found.white),
        gray=gray,
        depth=found.depth,
        white=found.white if found.depth == 32 else 1.0,
        alpha=alpha,
        metadata=replace(metadata, icc=icc),
        mode=image.mode,
        format=image.format,
    )


def more_than_eight_bits(image: Any, name: str, reopen: Callable[[], Any]) -> Decoded | None:
    """Return the pixels of an undecoded file that Pillow would cut to 8 bits or scale slowly, else None."""
    raw = raw_mode(image)
    tags = getattr(image, "tag_v2", {})
    if tags.get(Base.PlanarConfiguration, 1) == 2 and max(tags.get(Base.BitsPerSample, (1,))) > 8:
        raise ImageError(f"cannot read {name}: 16-bit colour in separate planes; save it with interleaved channels")
    if image.format == "PPM" and (image.tile[0].codec_name == "ppm" or raw == "I;16B"):
        return portable(image)
    return sixteen(image, raw, reopen) if image.mode in ("RGB", "RGBA") and ";16" in raw else None


def by_mode(image: Image.Image, name: str) -> Decoded:
    """Return the pixels of a loaded image by its mode."""
    mode, info = image.mode, image.info
    keyed = "transparency" in info
    if mode in ("1", "L", "RGB", "RGBX"):
        plain = image.convert("L") if mode == "1" else image.convert("RGB") if mode == "RGBX" else image
        if keyed:
            plain = image.convert("RGBA" if mode.startswith("RGB") else "LA")
        return split(plain)
    if mode in ("LA", "RGBA"):
        return split(image)
    if mode in ("La", "RGBa", "YCbCr", "HSV", "PA"):
        return split(image.convert({"La": "LA", "YCbCr": "RGB", "HSV": "RGB"}.get(mode, "RGBA")))
    if mode == "P":
        return palette(image)
    if mode in ("CMYK", "LAB"):
        return split(to_srgb(image, name), space="sRGB")
    if mode.startswith("I;16"):
        return keyed_gray(np.asarray(image), info.get("transparency"), image)
    if mode == "I":
        return integers(np.asarray(image), image, name)
    if mode == "F":
        values = np.asarray(image)
        white = float_white(values, name)
        return Decoded(white - values if is_negative(image) else values, depth=32, white=white)
    raise ImageError(f"cannot read {name}: pixels of the kind {mode} are not supported")


def split(image: Image.Image, space: str = "") -> Decoded:
    """Return an image of mode L, LA, RGB or RGBA with its alpha apart."""
    array = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        colours = array[..., 0] if image.mode == "LA" else array[..., :3]
        return Decoded(colours, np.ascontiguousarray(array[..., -1]), space=space)
    return Decoded(array, space=space)


def palette(image: Image.Image) -> Decoded:
    """Return an image with a palette as colours, or as gray when the palette has nothing but grays."""
    entries = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    clear = image.has_transparency_data
    found = split(image.convert("RGBA" if clear else "RGB"))
    if found.alpha is not None and found.alpha.min() == 255:
        found = replace(found, alpha=None)
    return replace(found, colours=found.colours[..., 0]) if (entries == entries[:, :1]).all() else found


def is_negative(image: Image.Image) -> bool:
    """Return whether 0 means white in a TIFF of gray values, which Pillow sees to where they have 8 bits alone."""
    return getattr(image, "tag_v2", {}).get(Base.PhotometricInterpretation) == 0


def keyed_gray(values: NDArray, key: Any, image: Image.Image) -> Decoded:
    """Return 16-bit gray, or 12-bit from a TIFF, with an alpha when one value was declared transparent."""
    alpha = (values != key).astype(np.uint16) * np.uint16(65535) if isinstance(key, int) else None
    white = 2 ** getattr(image, "tag_v2", {}).get(Base.BitsPerSample, (16,))[0] - 1
    return Decoded(np.uint16(white) - values if is_negative(image) else values, alpha, depth=16, white=float(white))


def integers(values: NDArray, image: Image.Image, name: str) -> Decoded:
    """Return 32-bit gray: values up to 255 count as 8 bit, up to 65535 as 16 bit, all else as 32 bit."""
    unsigned = getattr(image, "tag_v2", {}).get(Base.SampleFormat, (1,))[0] == 1 and image.format == "TIFF"
    if unsigned and values.min() < 0:
        values = values.view(np.uint32)
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise ImageError(f"cannot read {name}: it holds negative values (from {low} to {high}); 0 must mean black")
    white = next(scale for scale in INTEGER_SCALES if high <= scale)
    if white <= 65535:
        return Decoded(
            values.astype(np.uint8 if white == 255 else np.uint16), depth=8 if white == 255 else 16, white=white
        )
    # 24 bits of a float hold more than the 16 that go back.
    return Decoded(values.astype(np.float32), depth=16, white=white)


def float_white(values: NDArray, name: str) -> float:
    """Return the value that means white in an array of floats: 1, 255 or 65535.

    Raises:
        ImageError: NaN, infinity, negative values, or a range that fits none of the three.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(f"cannot read {name}: it holds NaN or infinity; replace these values first")
    for white, least in ((1.0, 0.0), (255.0, 16.0), (65535.0, 255.0)):
        if low >= -FLOAT_TOLERANCE * white and least <= high <= white * (1 + FLOAT_TOLERANCE):
            return white
    raise ImageError(
        f"cannot read {name}: its float values run from {low:g} to {high:g}; "
        "accepted are 0..1, 0..255 and 0..65535, so rescale it first"
    )


def raw_mode(image: Image.Image) -> str:
    """Return how the pixels lie in the file of an image that is not decoded yet, such as `RGB;16B`."""
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def sixteen(image: Any, raw: str, reopen: Callable[[], Any]) -> Decoded:
    """Return 16-bit colour. Pillow decodes the high bytes; with the other byte order, it decodes the low ones."""
    if raw.startswith("LA;"):
        # Two bytes of gray and two of alpha are just the four bytes of an RGBA pixel.
        pair = np.ascontiguousarray(read_as(image, "RGBA")).view(">u2")
        return Decoded(pair[..., 0], np.ascontiguousarray(pair[..., 1], np.uint16), 16, 65535.0)
    base, order = raw.split(";16")
    layout = base.replace("a", "A")
    values = read_as(image, f"{layout};16{order}").astype(np.uint16)
    values <<= 8
    values |= read_as(reopen(), f"{layout};16{'L' if order == 'B' else 'B'}")
    if values.shape[-1] == 4:
        alpha = np.ascontiguousarray(values[..., 3])
        colours = values[..., :3] if layout == base else without_alpha(values[..., :3], alpha)
        return Decoded(colours, alpha, 16, 65535.0)
    key = image.info.get("transparency")
    alpha = None
    if isinstance(key, tuple) and len(key) == 3:
        alpha = (values != np.array(key, np.uint16)).any(-1).astype(np.uint16) * np.uint16(65535)
    return Decoded(values, alpha, 16, 65535.0)


def without_alpha(colours: NDArray, alpha: NDArray) -> NDArray:
    """Return 16-bit colours (H, W, 3) that were multiplied with their alpha, divided by it again."""
    weight = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    return np.minimum((colours * np.uint32(65535) + weight // 2) // weight, 65535).astype(np.uint16)


def read_as(image: Any, raw: str) -> NDArray:
    """Return the bytes of an undecoded image, decoded as if its pixels lay as `raw` says."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    return np.asarray(image)


def portable(image: Any) -> Decoded:
    """Return the pixels of an undecoded binary PGM or PPM, whatever its largest value is."""
    tile = image.tile[0]
    white = tile.args[1] if isinstance(tile.args, tuple) else 65535
    shape = (image.height, image.width, 3) if image.mode == "RGB" else (image.height, image.width)
    dtype = np.dtype(">u2" if white > 255 else np.uint8)
    image.fp.seek(tile.offset)
    values = np.frombuffer(image.fp.read(math.prod(shape) * dtype.itemsize), dtype)
    if values.size < math.prod(shape):
        raise OSError("it ends too early")
    return Decoded(values.reshape(shape), depth=16 if white > 255 else 8, white=float(white))


def to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Return a CMYK or Lab image in sRGB, through its own profile where it has a usable one.

    A CMYK JPEG is inverted only when it carries Adobe's marker; Pillow inverts every one.
    """
    if image.mode == "LAB":
        return transform(image, ImageCms.createProfile("LAB"))
    if image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        image = ImageChops.invert(image)
    icc = usable_profile(image.info.get("icc_profile"), "CMYK", name)
    if icc is not None:
        try:
            return transform(image, ImageCms.ImageCmsProfile(BytesIO(icc)))
        except (ImageCms.PyCMSError, OSError, ValueError):
            # A profile that lacks the direction we need; the plain rule below still gives an image.
            pass
    return image.convert("RGB")


def transform(image: Image.Image, profile: Any) -> Image.Image:
    """Return the image in sRGB through a profile of its own colour space."""
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return converted


def upright(array: NDArray, orientation: int) -> NDArray:
    """Return a view of (H, W, ...) rotated and mirrored by the EXIF orientation (1 to 8)."""
    if orientation in (3, 4, 7, 6):
        array = array[::-1]
    if orientation in (2, 3, 7, 8):
        array = array[:, ::-1]
    return array.swapaxes(0, 1) if orientation >= 5 else array
