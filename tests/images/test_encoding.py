"""A file loses no more than the one that it was made from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin, features

from restore.errors import ConfigError, ImageError
from restore.images import Encoding, Photo, check_encoding, read, write
from restore.images.encoding import avif_chroma, encoding_for

quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")


def scene(height: int = 40, width: int = 56, seed: int = 0) -> Image.Image:
    """Shapes with a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack([x * 4 % 256, y * 6 % 256, np.where(x + 2 * y < 70, 250, 20)], -1)
    noise = np.random.default_rng(seed).normal(0, 6, colours.shape)
    return Image.fromarray(np.clip(colours + noise, 0, 255).astype(np.uint8))


def eight_bit(image: Photo) -> np.ndarray:
    return np.rint((image.pixels.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)


def encoded(path: Path, **options: object) -> Photo:
    scene().save(path, **options)
    return read(path)


@quick
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.sampled_from(["RGB", "RGBA", "L"]))
def test_lossless_webp_stays_lossless(tmp_path: Path, height: int, width: int, seed: int, mode: str) -> None:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(array).save(tmp_path / "a.webp", lossless=True, exact=True)
    image = read(tmp_path / "a.webp")
    assert image.encoding.lossless
    changed = image.with_pixels(-image.pixels)
    write(changed, tmp_path / "b.webp", overwrite=True)
    again = read(tmp_path / "b.webp")
    assert again.encoding.lossless
    np.testing.assert_array_equal(again.array(np.uint8), changed.array(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm"])
def test_lossless_files_become_lossless_webp(tmp_path: Path, suffix: str) -> None:
    image = encoded(tmp_path / f"a{suffix}")
    write(image, tmp_path / "b.webp")
    np.testing.assert_array_equal(eight_bit(read(tmp_path / "b.webp")), eight_bit(image))


def test_what_the_user_says_counts(tmp_path: Path) -> None:
    lossless, lossy = encoded(tmp_path / "a.webp", lossless=True), encoded(tmp_path / "b.webp", quality=60)
    lossless.save(tmp_path / "lossy.webp", lossless=False)
    lossless.save(tmp_path / "coarse.webp", quality=30)
    lossy.save(tmp_path / "exact.webp", lossless=True)
    found = {name: read(tmp_path / f"{name}.webp") for name in ("lossy", "coarse", "exact")}
    assert [found[name].encoding.lossless for name in found] == [False, False, True]
    np.testing.assert_array_equal(eight_bit(found["exact"]), eight_bit(lossy))
    assert (tmp_path / "coarse.webp").stat().st_size < (tmp_path / "lossy.webp").stat().st_size


@pytest.mark.parametrize(("quality", "lossless"), [(0, None), (101, None), (90, True)])
def test_nonsense_is_refused_before_anything_is_written(
    tmp_path: Path, quality: int | None, lossless: bool | None
) -> None:
    image = encoded(tmp_path / "a.png")
    for name in ("b.webp", "b.png"):
        with pytest.raises(ImageError, match=r"cannot write .*b\..*(quality|lossless)"):
            image.save(tmp_path / name, quality=quality, lossless=lossless)
        with pytest.raises(ConfigError, match=r"cannot write .*b\."):
            check_encoding([tmp_path / name], quality, lossless)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["b.jpg", "b.avif", "b.gif"])
def test_formats_that_are_never_lossless_say_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"never lossless.*\.png"):
        encoded(tmp_path / "a.png").save(tmp_path / name, lossless=True)
    for good in ("c.png", "c.tif", "c.webp"):
        check_encoding([tmp_path / good], None, True)


@pytest.mark.parametrize("chroma", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [60, 99])
def test_the_chroma_of_a_jpeg_is_kept(tmp_path: Path, chroma: str, quality: int) -> None:
    photo = encoded(tmp_path / "a.jpg", subsampling=chroma, quality=quality)
    assert photo.encoding.chroma == chroma
    write(photo, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == ["4:4:4", "4:2:2", "4:2:0"].index(chroma)


@needs_avif
@pytest.mark.parametrize("chroma", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_chroma_of_an_avif_is_kept(tmp_path: Path, chroma: str, mode: str) -> None:
    scene().convert(mode).save(tmp_path / "a.avif", subsampling=chroma, quality=80)
    image = read(tmp_path / "a.avif")
    assert image.encoding.chroma == chroma
    write(image, tmp_path / "b.avif")
    assert avif_chroma((tmp_path / "b.avif").read_bytes()) == chroma


@needs_avif
def test_sources_without_chroma_of_their_own_keep_it_all(tmp_path: Path) -> None:
    image = encoded(tmp_path / "a.png")
    write(image, tmp_path / "b.avif")
    assert avif_chroma((tmp_path / "b.avif").read_bytes()) == "4:4:4"
    write(image, tmp_path / "b.jpg")
    assert read(tmp_path / "b.jpg").encoding == Encoding(False, 95, "4:4:4")


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
@pytest.mark.parametrize("quality", [1, 20, 50, 75, 90, 96, 98, 100])
def test_the_quality_is_at_least_that_of_the_source(tmp_path: Path, suffix: str, quality: int) -> None:
    image = encoded(tmp_path / f"a{suffix}", quality=quality)
    found = image.encoding.quality
    assert found is not None
    # libwebp quantizes some segments of an image finer than its quality says; the finest counts
    assert found == quality if suffix == ".jpg" else quality - 2 <= found <= min(100, quality + 40)
    assert encoding_for(image.encoding, "JPEG").quality == max(95, found)
    write(image, tmp_path / f"b{suffix}")
    again = read(tmp_path / f"b{suffix}").encoding.quality
    assert again is not None and again >= min(quality, 95 if suffix == ".jpg" else 93)


def test_quality_of_tables_that_are_no_ones_own(tmp_path: Path) -> None:
    tables = [[7] * 64, [9] * 64]
    photo = encoded(tmp_path / "a.jpg", qtables=tables)
    assert photo.encoding.quality == 94
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", quality=photo.encoding.quality)
    with Image.open(buffer) as image:
        assert sum(image.quantization[0]) <= sum(tables[0])
