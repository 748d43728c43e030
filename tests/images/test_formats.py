"""Every kind of pixel that a file can hold: what is read, and that the same kind is written again."""

from __future__ import annotations

import io
import struct
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from restore.images import ImageWarning, Photo, read, write

SIZES = [(1, 1), (1, 5000), (5000, 1), (7, 7), (63, 63), (509, 761), (472, 640), (16, 3000)]
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def noise(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> NDArray:
    values = np.random.default_rng(height * 7919 + width).integers(
        0, int(np.iinfo(dtype).max) + 1, (height, width, channels), dtype
    )
    return values[..., 0] if channels == 1 else values


def smooth(height: int = 48, width: int = 64) -> NDArray:
    """Colours that survive a lossy format."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def values(image: Photo, top: float = 255.0) -> NDArray:
    """The stored pixels as (H, W, 3) in 0..top, computed another way than the package does."""
    return (image.stored().permute(1, 2, 0).double().numpy() + 1) / 2 * top


def seen(path: Path) -> Image.Image:
    """What Pillow makes of a file."""
    with Image.open(path) as image:
        image.load()
    return image


def exact(image: Photo, expected: NDArray, top: float = 255.0) -> None:
    colours = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, -1)
    np.testing.assert_allclose(values(image, top), colours, atol=0.01 * top / 255)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_geometry_keeps_its_size_and_values(tmp_path: Path, size: tuple[int, int]) -> None:
    array = noise(*size)
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(array).save(source, compress_level=1)
    image = read(source)
    assert image.pixels.shape == (3, *size)
    assert (image.height, image.width) == size
    write(image, target)
    np.testing.assert_array_equal(np.asarray(seen(target)), array)


@quick
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4]))),
    st.sampled_from([".png", ".tif", ".bmp", ".ppm"]),
)
def test_eight_bits_survive_exactly(tmp_path: Path, array: NDArray, suffix: str) -> None:
    channels = array.shape[2]
    if channels % 2 == 0 and suffix in (".bmp", ".ppm"):
        array, channels = np.ascontiguousarray(array[..., :-1]), channels - 1
    plain = array[..., 0] if channels == 1 else array
    source, target = tmp_path / "a.png", tmp_path / f"b{suffix}"
    Image.fromarray(plain).save(source)
    write(read(source), target, overwrite=True)
    result = seen(target)
    assert result.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    np.testing.assert_array_equal(np.asarray(result), plain)
    assert read(target).gray == (channels < 3)


def test_one_bit_becomes_gray(tmp_path: Path) -> None:
    bits = noise(9, 11, 1) > 127
    for suffix in ("png", "tif", "pbm", "bmp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(bits).save(path)
        image = read(path)
        assert (image.gray, image.depth) == (True, 8)
        exact(image, bits * 255)


def test_palettes(tmp_path: Path) -> None:
    array = noise(6, 7)
    path = tmp_path / "a.png"
    image = Image.fromarray(array).quantize(16)
    image.save(path)
    photo = read(path)
    assert (photo.mode, photo.gray, photo.alpha) == ("P", False, None)
    exact(photo, np.asarray(image.convert("RGB")))
    clear = Image.fromarray(array).quantize(16)
    clear.save(path, transparency=bytes([0, 100]) + bytes([255]) * 14)
    photo = read(path)
    index = np.asarray(clear)
    np.testing.assert_array_equal(photo.alpha, np.where(index == 0, 0, np.where(index == 1, 100, 255)))
    write(photo, tmp_path / "b.png")
    assert seen(tmp_path / "b.png").mode == "RGBA"
    grays = Image.fromarray(array[..., 0]).quantize(8)
    grays.save(path)
    assert read(path).gray


def test_colour_under_alpha_zero_and_soft_edges_survive(tmp_path: Path) -> None:
    array = noise(9, 8, 4)
    array[:3, :, 3] = 0
    for suffix in ("png", "tif", "webp"):
        source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        Image.fromarray(array).save(source, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
        image = read(source)
        exact(image, array[..., :3])
        np.testing.assert_array_equal(image.alpha, array[..., 3])
        write(image, target)
        np.testing.assert_array_equal(np.asarray(seen(target))[..., 3], array[..., 3])


def test_alpha_is_laid_over_white_where_the_format_has_none(tmp_path: Path) -> None:
    array = np.zeros((2, 3, 4), np.uint8)
    array[..., 3] = [0, 51, 255]
    Image.fromarray(array).save(tmp_path / "a.png")
    write(read(tmp_path / "a.png"), tmp_path / "b.bmp")
    assert np.asarray(seen(tmp_path / "b.bmp"))[0, :, 0].tolist() == [255, 204, 0]
    write(read(tmp_path / "a.png"), tmp_path / "b.jpg", quality=100)
    assert seen(tmp_path / "b.jpg").mode == "RGB"


def test_cmyk(tmp_path: Path) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe, plain = tmp_path / "adobe.jpg", tmp_path / "plain.jpg"
    red.save(adobe, quality=100)
    content = adobe.read_bytes()
    place = content.index(b"\xff\xee")
    length = struct.unpack_from(">H", content, place + 2)[0]
    assert content[place + 4 : place + 9] == b"Adobe"
    # Without the marker the numbers mean ink and not its absence: what was red is now its complement.
    plain.write_bytes(content[:place] + content[place + 2 + length :])
    np.testing.assert_allclose(values(read(adobe))[8, 8], [255, 0, 0], atol=3)
    np.testing.assert_allclose(values(read(plain))[8, 8], [0, 0, 0], atol=3)
    red.save(tmp_path / "a.tif")
    image = read(tmp_path / "a.tif")
    np.testing.assert_allclose(values(image)[8, 8], [255, 0, 0], atol=1)
    write(image, tmp_path / "b.jpg")
    assert seen(tmp_path / "b.jpg").mode == "RGB"


def test_lab(tmp_path: Path) -> None:
    colours = Image.fromarray(smooth())
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(colours, to_lab).save(tmp_path / "a.tif")
    result = values(read(tmp_path / "a.tif"))
    assert np.abs(result - smooth()).mean() < 2


@pytest.mark.parametrize(("mode", "gray"), [("YCbCr", False), ("PA", False), ("LA", True), ("RGBX", False)])
def test_rare_modes(tmp_path: Path, mode: str, gray: bool) -> None:
    if mode == "YCbCr" and int(version("Pillow").split(".")[0]) < 13:
        pytest.skip("Pillow reads TIFF files in YCbCr that are not compressed from 13 on")
    path = tmp_path / "a.tif"
    image = Image.new("RGBX", (4, 4), (9, 8, 7, 0)) if mode == "RGBX" else Image.fromarray(smooth()).convert(mode)
    image.save(path)
    photo = read(path)
    assert photo.gray == gray
    assert (photo.alpha is not None) == (mode in ("PA", "LA"))


LOSSY = [".jpg", ".webp"] + ([".avif"] if features.check("avif") else [])


@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_stay_close_and_obey_quality(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    fine, coarse = tmp_path / f"fine{suffix}", tmp_path / f"coarse{suffix}"
    write(image, fine)
    write(image, coarse, quality=10)
    assert coarse.stat().st_size < fine.stat().st_size
    assert np.abs(values(read(fine)) - smooth()).mean() < 2.5


def test_gray_goes_back_as_the_luma_of_the_restored_colours(tmp_path: Path) -> None:
    Image.fromarray(noise(9, 8, 1)).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    assert (image.pixels == image.pixels[:1]).all()
    colours = Image.fromarray(noise(9, 8))
    colours.save(tmp_path / "c.png")
    write(image.with_pixels(read(tmp_path / "c.png").pixels), tmp_path / "b.png")
    result = np.asarray(seen(tmp_path / "b.png")).astype(int)
    # Pillow's own conversion is Rec. 601 in integer arithmetic.
    assert np.abs(result - np.asarray(colours.convert("L")).astype(int)).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_gif_keeps_what_is_clear(tmp_path: Path, mode: str) -> None:
    """A pixel of a GIF is there or not; what is partly clear is laid over white."""
    image = Image.fromarray(smooth()).convert(mode)
    alpha = np.full((image.height, image.width), 255, np.uint8)
    alpha[:, : image.width // 2], alpha[:, image.width // 2] = 0, 200
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "a.png")
    write(read(tmp_path / "a.png"), tmp_path / "b.gif")
    found = read(tmp_path / "b.gif")
    assert found.alpha is not None and np.array_equal(found.alpha > 0, alpha > 127)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_gif_is_written_with_a_palette(tmp_path: Path, mode: str) -> None:
    Image.fromarray(smooth()).convert(mode).save(tmp_path / "a.png")
    write(read(tmp_path / "a.png"), tmp_path / "b.gif")
    assert np.abs(values(read(tmp_path / "b.gif")).mean() - smooth().mean()) < 20


def test_a_broken_profile_is_ignored_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(smooth()).save(path, icc_profile=b"this is no profile" * 20)
    with pytest.warns(ImageWarning, match=r"a\.png.*ICC profile is broken"):
        image = read(path)
    assert image.metadata.icc is None
    exact(image, smooth())


def test_a_profile_for_other_colours_is_ignored_with_a_warning(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise(4, 4, 1)).save(tmp_path / "a.png", icc_profile=profile)
    with pytest.warns(ImageWarning, match="RGB colours, not GRAY"):
        assert read(tmp_path / "a.png").metadata.icc is None


def test_reading_from_memory_is_not_offered_by_mistake() -> None:
    with pytest.raises(TypeError):
        read(io.BytesIO(b"x"))  # type: ignore[arg-type]
