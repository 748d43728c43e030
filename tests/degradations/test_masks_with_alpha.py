"""Masks in files with alpha: what a person sees is what is marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from restore.degradations.masks import read_mask
from restore.images import ImageWarning
from restore.images.png import write_png16

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def strokes(seed: int) -> NDArray:
    """(16, 20) of 0 and 255, neither alone."""
    drawn = (np.random.default_rng(seed).random((16, 20)) < 0.3).astype(np.uint8) * 255
    drawn[0, 0], drawn[0, 1] = 255, 0
    return drawn


def saved(path: Path, array: NDArray) -> Path:
    if array.dtype == np.uint16:
        with path.open("wb") as stream:
            write_png16(stream, array, {})
    else:
        Image.fromarray(array).save(path)
    return path


@quick
@given(
    st.integers(0, 99),
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([".png", ".tif"]),
    st.booleans(),
    st.booleans(),
)
def test_strokes_of_any_one_colour_on_a_clear_layer(
    tmp_path: Path, seed: int, ink: int, below: int, suffix: str, gray: bool, deep: bool
) -> None:
    alpha = strokes(seed)
    colours = np.where(alpha > 0, ink, below).astype(np.uint8)
    layer = np.stack([colours, alpha] if gray else [colours, colours, colours, alpha], -1)
    if deep and suffix == ".png":
        layer = layer.astype(np.uint16) * 257
    mask = read_mask(saved(tmp_path / f"a{suffix}", layer))
    assert torch.equal(mask[0], torch.from_numpy(alpha > 127).float())
    kept = read_mask(tmp_path / f"a{suffix}", "keep")
    assert torch.equal(kept, 1 - mask)


@quick
@given(st.integers(0, 99), st.integers(0, 255))
def test_of_several_colours_those_that_look_bright_count(tmp_path: Path, seed: int, below: int) -> None:
    alpha, other = strokes(seed), strokes(seed + 100)
    colours = np.where(alpha > 0, other, below).astype(np.uint8)
    alpha = np.where(alpha > 0, 200, 0).astype(np.uint8)
    alpha[1, 0:2], colours[1, 0:2], colours[0, 0] = 255, [255, 0], 255
    mask = read_mask(saved(tmp_path / "a.png", np.stack([colours] * 3 + [alpha], -1)))
    assert torch.equal(mask[0], torch.from_numpy(colours * (alpha / 255.0) > 127.5).float())


@quick
@given(st.integers(0, 99), st.sampled_from([255, 130]))
def test_an_alpha_that_is_the_same_everywhere_changes_no_bright_stroke(tmp_path: Path, seed: int, alpha: int) -> None:
    drawn = strokes(seed)
    plain = read_mask(saved(tmp_path / "a.png", drawn))
    layer = np.stack([drawn, np.full_like(drawn, alpha)], -1)
    assert torch.equal(read_mask(saved(tmp_path / "b.png", layer)), plain)


@pytest.mark.parametrize(("value", "white"), [(255, "restore"), (0, "keep")])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_mask_that_marks_everything_warns(tmp_path: Path, value: int, white: str, mode: str) -> None:
    Image.new("L", (8, 6), value).convert(mode).save(tmp_path / "a.png")
    with pytest.warns(ImageWarning, match=r"a\.png: this mask marks every pixel"):
        assert read_mask(tmp_path / "a.png", white).all()  # type: ignore[arg-type]


def test_the_alpha_of_a_blank_layer_is_no_drawing(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 6), (255, 255, 255, 0)).save(tmp_path / "a.png")
    assert not read_mask(tmp_path / "a.png").any()
