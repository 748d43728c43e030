"""Resampling against Pillow, against the definition, and against published numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore import images
from restore.degradations import BlindResolution, Random, Resolution
from restore.degradations.blur import gaussian_blur
from restore.degradations.resampling import resize
from restore.degradations.resolution import enlarge_by, shrink_by
from restore.errors import ArrayError
from restore.evaluation.metrics import score


def keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def imresize_line(line: list[float], out: int, scale: float) -> list[float]:
    """MATLAB's documented algorithm in one dimension, sample by sample, counted from 1 as there."""
    n, width = len(line), 4 / min(scale, 1)
    mirror = list(range(n)) + list(range(n - 1, -1, -1))
    result = []
    for x in range(1, out + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        places = [left + k for k in range(math.ceil(width) + 2)]
        weights = [keys(min(scale, 1) * (u - place)) for place in places]
        total = sum(weights)
        result.append(sum(w * line[mirror[(p - 1) % (2 * n)]] for w, p in zip(weights, places, strict=True)) / total)
    return result


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0, 8.0, 1 / 2, 1 / 3, 1 / 4, 1 / 8, 0.37, 1.7])
def test_a_line_is_resized_as_the_definition_says(scale: float) -> None:
    line = np.random.default_rng(0).random(24)
    out = math.ceil(24 * scale)
    expected = imresize_line(line.tolist(), out, scale)
    got = resize(torch.tensor(line, dtype=torch.float32)[:, None].expand(24, 24), (out, out), scale)
    np.testing.assert_allclose(got[:, 1].numpy(), expected, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(24, 50), st.integers(24, 50), st.integers(8, 90), st.integers(8, 90))
def test_the_inside_is_pillows(height: int, width: int, rows: int, columns: int) -> None:
    """Pillow has the same kernel, and cuts it off at the border where MATLAB reflects the image."""
    image = np.random.default_rng(height * width).random((height, width)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BICUBIC))
    got = resize(torch.from_numpy(image), (rows, columns)).numpy()
    # two kernel halves at the border, in pixels of the result
    top, left = (math.ceil(2 * max(1.0, b / a)) + 1 for a, b in ((height, rows), (width, columns)))
    np.testing.assert_allclose(got[top:-top, left:-left], expected[top:-top, left:-left], atol=2e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_a_flat_image_stays_flat_at_any_size(height: int, width: int, rows: int, columns: int) -> None:
    resized = resize(torch.full((2, 3, height, width), 0.3), (rows, columns))
    torch.testing.assert_close(resized, torch.full((2, 3, rows, columns), 0.3))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_ramp_keeps_its_place(scale: int) -> None:
    """Half a pixel of shift, the usual mistake, would show on a slope."""
    ramp = torch.linspace(0, 1, 96)[None, :].expand(8, 96)
    small = resize(ramp, (8, 96 // scale), antialias=True)
    expected = ramp[0].view(-1, scale).mean(1)
    torch.testing.assert_close(small[0, 3:-3], expected[3:-3], atol=1e-5, rtol=0)


def test_nothing_cannot_be_resized() -> None:
    with pytest.raises(ArrayError, match="0x5"):
        resize(torch.zeros(1, 5), (5, 0))


@pytest.mark.parametrize(("scale", "published", "tolerance"), [(4, 28.42, 0.02), (2, 33.66, 0.03)])
def test_bicubic_has_its_published_psnr_on_set5(shared: Path, scale: int, published: float, tolerance: float) -> None:
    values = []
    for path in sorted((shared / "data/super_resolution/Set5").glob("*.png")):
        clean = images.read(path).pixels[None].add(1).div(2)
        clean = clean[..., : clean.shape[-2] // scale * scale, : clean.shape[-1] // scale * scale]
        degraded = Resolution(scale=scale)(clean, Random([0]))
        values.append(float(score(degraded * 2 - 1, clean * 2 - 1, "sr", scale=scale)["psnr"]))
    # MATLAB also rounds between the two directions, which costs 0.008 dB at x2
    assert abs(np.mean(values) - published) < tolerance


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(24, 36), (25, 37), (1, 5)])
def test_sizes_that_the_factor_does_not_divide(scale: int, size: tuple[int, int]) -> None:
    clean = torch.rand(2, 3, *size)
    low = shrink_by(clean, scale)
    assert low.shape[-2:] == (math.ceil(size[0] / scale), math.ceil(size[1] / scale))
    assert enlarge_by(low, scale, size).shape == clean.shape
    assert torch.equal(Resolution(scale=scale)(clean, Random([1, 2])), enlarge_by(low, scale, size))


def test_a_larger_factor_loses_more() -> None:
    clean = torch.rand(1, 3, 64, 64)
    errors = [float((Resolution(scale=n)(clean, Random([0])) - clean).abs().mean()) for n in (2, 3, 4, 8)]
    assert errors == sorted(errors)
    blind = BlindResolution(scale=4)(clean, Random([0]), 1.0)
    assert float((blind - clean).abs().mean()) > 0.9 * errors[2]


@pytest.mark.parametrize("size", [(121, 139), (120, 136), (123, 137)])
def test_blind_resolution_moves_nothing(size: tuple[int, int]) -> None:
    """A blot stays where it is, to a twentieth of a pixel, whatever the order of the operations and the sizes."""
    down, across = (torch.arange(side) + 0.5 for side in size)
    place = (0.8 * size[0], 0.8 * size[1])
    blot = torch.exp(-((down - place[0])[:, None] ** 2 + (across - place[1]) ** 2) / (2 * 6.0**2))
    clean = blot.expand(1, 3, -1, -1).contiguous()
    blind = BlindResolution(scale=4, noise=(0.0, 0.0), quality=(95, 95))
    for seed in range(8):
        mass = blind(clean, Random([seed]))[0].mean(0)
        mass = torch.where(mass > 0.1, mass, 0.0)
        expected = torch.where(blot > 0.1, blot, 0.0)
        for found, axis in ((mass, down), (mass.T, across)):
            true = expected if axis is down else expected.T
            centre, middle = ((m.sum(1) * axis).sum() / m.sum() for m in (found, true))
            assert abs(float(centre - middle)) < 0.1


def test_blind_resolution_has_the_full_factor_unless_it_is_told() -> None:
    """Files of a low resolution have one size; what is drawn is how else they were spoilt."""
    stripes = (torch.arange(64) % 4 < 2).float().expand(1, 3, 64, 64)
    blind = BlindResolution(scale=8, blur=(0.0, 0.0), noise=(0.0, 0.0), quality=(95, 95))
    assert blind.small(stripes, Random([1])).shape == (1, 3, 8, 8)
    for seed in range(6):
        assert float(blind(stripes, Random([seed])).std()) < 0.05, "no stripe survives eight times smaller"
    assert float(blind(stripes, Random([0]), 0.2).std()) > 0.2


def test_blur_keeps_what_is_flat_and_has_the_given_width() -> None:
    flat = torch.full((1, 3, 9, 9), 0.7)
    torch.testing.assert_close(gaussian_blur(flat, torch.tensor([[1.0, 2.0]])), flat)
    spot = torch.zeros(1, 1, 41, 41)
    spot[..., 20, 20] = 1
    blurred = gaussian_blur(spot, torch.tensor([[1.5, 3.0]]))[0, 0]
    place = torch.arange(41.0) - 20
    assert abs(float((blurred.sum(1) * place**2).sum()) - 1.5**2) < 0.05
    assert abs(float((blurred.sum(0) * place**2).sum()) - 3.0**2) < 0.2
    sharp = gaussian_blur(spot, torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(sharp, spot)
