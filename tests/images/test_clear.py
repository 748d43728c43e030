"""Colours that nobody can see change nothing that is seen, and come back where a file keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from restore import Pipeline, Restorer
from restore.images import Photo, from_any, read, to_photo, write
from restore.images.png import write_png16
from restore.tasks import Request

quick = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def png(path: Path, array: NDArray) -> None:
    if array.dtype == np.uint8:
        Image.fromarray(array).save(path, "PNG")
    else:
        with path.open("wb") as stream:
            write_png16(stream, array, {})


def tiff(path: Path, array: NDArray) -> None:
    tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])


def webp(path: Path, array: NDArray) -> None:
    Image.fromarray((array >> (array.dtype.itemsize * 8 - 8)).astype(np.uint8)).save(
        path, "WEBP", lossless=True, exact=True
    )


def tga(path: Path, array: NDArray) -> None:
    Image.fromarray((array >> (array.dtype.itemsize * 8 - 8)).astype(np.uint8)).save(path, "TGA")


FILES: dict[str, Callable[[Path, NDArray], None]] = {".png": png, ".tif": tiff, ".webp": webp, ".tga": tga}


@st.composite
def twins(draw: st.DrawFn) -> tuple[NDArray, NDArray]:
    """Two images (H, W, 4) that differ only under alpha 0."""
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    height, width, seed = draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(st.integers(0, 999))
    share = draw(st.sampled_from([0.1, 0.5, 0.97, 1.0]))
    rng, top = np.random.default_rng(seed), int(np.iinfo(dtype).max)
    one = rng.integers(0, top + 1, (height, width, 4)).astype(dtype)
    # webp keeps eight bits, in which nothing that is seen may become unseen
    one[..., 3] |= dtype(top // 255)
    clear = rng.random((height, width)) < share
    one[clear, 3] = 0
    two = one.copy()
    two[clear, :3] = draw(st.sampled_from([0, top])) if draw(st.booleans()) else top - one[clear, :3]
    return one, two


def smeared(image: Photo) -> Photo:
    """What a network may do: every pixel depends on its neighbours."""
    return image.with_pixels(torch.nn.functional.avg_pool2d(image.pixels, 3, 1, 1, count_include_pad=False))


@quick
@given(twins(), st.sampled_from(list(FILES)))
def test_what_is_not_seen_reaches_nobody(tmp_path: Path, pair: tuple[NDArray, NDArray], suffix: str) -> None:
    images = []
    for number, array in enumerate(pair):
        FILES[suffix](tmp_path / f"{number}{suffix}", array)
        images.append(read(tmp_path / f"{number}{suffix}"))
    assert torch.equal(images[0].pixels, images[1].pixels)
    for target in (".png", ".tif", ".webp", ".gif", ".jpg"):
        found = []
        for number, image in enumerate(images):
            write(smeared(image), tmp_path / f"out{number}{target}", overwrite=True)
            found.append(read(tmp_path / f"out{number}{target}"))
        assert torch.equal(found[0].pixels, found[1].pixels)
        assert (found[0].alpha is None) == (found[1].alpha is None)
        if found[0].alpha is not None:
            np.testing.assert_array_equal(found[0].alpha, found[1].alpha)


@quick
@given(twins(), st.sampled_from([".png", ".tif"]))
def test_what_is_not_seen_comes_back_as_it_was(tmp_path: Path, pair: tuple[NDArray, NDArray], suffix: str) -> None:
    for array in pair:
        FILES[suffix](tmp_path / f"a{suffix}", array)
        write(smeared(read(tmp_path / f"a{suffix}")), tmp_path / f"b{suffix}", overwrite=True)
        found, clear = read(tmp_path / f"b{suffix}"), array[..., 3] == 0
        np.testing.assert_array_equal(found.array(array.dtype)[clear], array[clear])


@quick
@given(twins())
def test_arrays_tensors_and_pil_images_alike(pair: tuple[NDArray, NDArray]) -> None:
    one, two = pair
    floats = [(array / np.iinfo(array.dtype).max).astype(np.float32) for array in pair]
    holders = [(one, two), tuple(torch.from_numpy(array).permute(2, 0, 1) for array in floats)]
    if one.dtype == np.uint8:
        holders.append((Image.fromarray(one), Image.fromarray(two)))
    for pair_of_kind in holders:
        (first, _), (second, form) = (from_any(each) for each in pair_of_kind)
        assert torch.equal(first[0].pixels, second[0].pixels)
        back = form.to_same_kind([smeared(second[0])])
        back = back.permute(1, 2, 0).numpy() if isinstance(back, torch.Tensor) else np.asarray(back)
        given_back = floats[1] if isinstance(pair_of_kind[1], torch.Tensor) else two
        np.testing.assert_allclose(back[two[..., 3] == 0], given_back[two[..., 3] == 0], atol=1e-6)


def test_a_wholly_clear_image_comes_back_as_it_was(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    array[..., 3] = 0
    png(tmp_path / "a.png", array)
    image = read(tmp_path / "a.png")
    assert not image.pixels.any()
    np.testing.assert_array_equal(image.with_pixels(image.pixels + 0.5).array(np.uint8), array)


def test_what_is_filled_continues_what_is_seen() -> None:
    array = np.zeros((16, 32, 4), np.uint8)
    array[:, :16] = [200, 100, 50, 255]
    pixels = to_photo(array).pixels
    torch.testing.assert_close(pixels, pixels[:, :1, :1].expand_as(pixels))


def test_enlarged_padded_and_cut_images_keep_what_is_not_seen() -> None:
    array = np.zeros((4, 6, 4), np.uint8)
    array[:, 3:] = [9, 8, 7, 0]
    array[:, :3] = [200, 100, 50, 255]
    image = to_photo(array)
    large = image.with_pixels(torch.zeros(3, 8, 12)).array(np.uint8)
    clear = large[..., 3] == 0
    assert clear[:, 8:].all() and (large[clear] == [9, 8, 7, 0]).all()
    padded = image.padded(1, 2, 3, 4)
    assert padded.pixels.shape[-2:] == padded.stored().shape[-2:] == (10, 10)
    np.testing.assert_array_equal(padded.array(np.uint8)[2:6, 1:7], array)
    assert (padded.array(np.uint8)[0, :, 3] == 255).all()
    np.testing.assert_array_equal(image.columns(slice(2, None)).array(np.uint8), array[:, 2:])


WAYS = {
    "weather": ("weather", "derain"),
    "auto": ("weather", "auto"),
    "jpeg": ("jpeg", None),
    "upscale": ("upscale_x2", None),
    "inpaint": ("inpaint", None),
    "colorize": ("colorize", None),
}


@pytest.mark.parametrize(("model", "task"), WAYS.values(), ids=WAYS)
def test_no_task_sees_it(model: str, task: str | None) -> None:
    rng = np.random.default_rng(3)
    one = rng.integers(0, 256, (40, 48, 4)).astype(np.uint8)
    one[..., 3] = np.where(rng.random((40, 48)) < 0.4, 0, 255)
    one[:8, :, 3] = 0
    two = one.copy()
    two[one[..., 3] == 0, :3] = [255, 0, 255]
    mask = torch.zeros(1, 40, 48).index_fill_(2, torch.arange(9, 20), 1)
    request = Request(mask=mask) if model == "inpaint" else Request()
    pipeline = Pipeline.of(Restorer.from_pretrained(model, "cpu"), task)
    own = None if task == "auto" else task
    first, second = (pipeline(array, task=own, request=request) for array in (one, two))
    seen = first[..., 3] > 0
    assert seen.any() and not seen.all()
    np.testing.assert_array_equal(first[seen], second[seen])


def test_replaced_alpha_is_filled_when_it_is_restored() -> None:
    image = replace(to_photo(np.full((4, 4, 3), 255, np.uint8)), alpha=np.zeros((4, 4), np.uint8))
    assert from_any(image)[0][0].under is not None
