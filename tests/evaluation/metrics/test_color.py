"""Luma, CIE L*a*b* and colour differences against scikit-image, published values and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ArrayError, ConfigError
from restore.evaluation.metrics import bt601_luma, ciede2000, color_shift, delta_e, psnr, rgb_to_lab

# Pairs 1, 4, 7, 13, 14, 17, 20, 25, 31 and 34 of table 1 in Sharma, Wu and Dalal 2005: two colours and their distance.
SHARMA = [
    (50.0, 2.6772, -79.7751, 50.0, 0.0, -82.7485, 2.0425),
    (50.0, -1.3802, -84.2814, 50.0, 0.0, -82.7485, 1.0000),
    (50.0, 0.0, 0.0, 50.0, -1.0, 2.0, 2.3669),
    (50.0, -0.0010, 2.4900, 50.0, 0.0009, -2.4900, 4.8045),
    (50.0, -0.0010, 2.4900, 50.0, 0.0010, -2.4900, 4.8045),
    (50.0, 2.5, 0.0, 73.0, 25.0, -18.0, 27.1492),
    (50.0, 2.5, 0.0, 58.0, 24.0, 15.0, 19.4535),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


def images(seed: int, count: int = 2, size: tuple[int, int] = (24, 20)) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, *size), generator=torch.Generator().manual_seed(seed)).double()


def last(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).numpy()


def test_limited_luma_is_that_of_skimage_and_its_ends_are_16_and_235() -> None:
    x = images(0)
    np.testing.assert_allclose(
        bt601_luma(x)[:, 0], skimage.color.rgb2ycbcr(last(x).astype(np.uint8))[..., 0], atol=1e-9
    )
    ends = bt601_luma(torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)).flatten()
    assert ends.tolist() == pytest.approx([16.0, 235.0])


def test_full_luma_and_psnr_differ_by_the_known_constant() -> None:
    x = torch.tensor([[255.0, 0, 0], [0, 255.0, 0], [0, 0, 255.0]]).view(3, 3, 1, 1)
    assert bt601_luma(x, "bt601-full").flatten().tolist() == pytest.approx([76.245, 149.685, 29.07])
    a, b = images(1), images(2)
    difference = psnr(bt601_luma(a), bt601_luma(b)) - psnr(bt601_luma(a, "bt601-full"), bt601_luma(b, "bt601-full"))
    assert difference.tolist() == pytest.approx([1.3219, 1.3219], abs=1e-4)


def test_luma_leaves_its_input_alone() -> None:
    x = images(3)
    before = x.clone()
    bt601_luma(x)
    assert torch.equal(x, before)


def test_lab_and_ciede2000_equal_skimage() -> None:
    a, b = images(4), images(5)
    lab_a, lab_b = skimage.color.rgb2lab(last(a) / 255), skimage.color.rgb2lab(last(b) / 255)
    np.testing.assert_allclose(last(rgb_to_lab(a)), lab_a, atol=1e-6)
    expected = skimage.color.deltaE_ciede2000(lab_a, lab_b)
    np.testing.assert_allclose(ciede2000(rgb_to_lab(a), rgb_to_lab(b)), expected, atol=1e-6)
    np.testing.assert_allclose(delta_e(a, b), expected.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("row", SHARMA)
def test_ciede2000_gives_the_published_values(row: tuple[float, ...]) -> None:
    a, b = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (row[:3], row[3:6]))
    assert ciede2000(a, b).item() == pytest.approx(row[6], abs=5e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_differences_are_symmetric_and_zero_only_for_equal_images(seed: int) -> None:
    a, b = images(seed, 1, (6, 7)), images(seed + 1, 1, (6, 7))
    for difference in (delta_e, color_shift):
        assert difference(a, b).item() == pytest.approx(difference(b, a).item(), rel=1e-9)
        assert difference(a, b).item() > 0
        assert difference(a, a).item() == 0


def test_color_shift_sees_a_cast_and_not_the_place_of_pixels() -> None:
    a = images(6, 1)
    moved = a.flip(-1)
    assert color_shift(moved, a).item() == pytest.approx(0, abs=1e-9)
    assert delta_e(moved, a).item() > 10
    warmer = a.clone()
    warmer[:, 0] = (warmer[:, 0] + 30).clamp(max=255)
    means = [skimage.color.rgb2lab(last(x) / 255).mean((0, 1, 2)) for x in (warmer, a)]
    assert color_shift(warmer, a).item() == pytest.approx(np.linalg.norm(means[0] - means[1]), abs=1e-6)


def test_bad_input_is_named() -> None:
    gray = torch.zeros(1, 1, 4, 4)
    for convert in (bt601_luma, rgb_to_lab):
        with pytest.raises(ArrayError, match=r"\(1, 1, 4, 4\)"):
            convert(gray)
    with pytest.raises(ConfigError, match="bt601-limited, bt601-full"):
        bt601_luma(images(0), "bt709")  # type: ignore[arg-type]
    with pytest.raises(ArrayError, match="differ in shape"):
        delta_e(images(0), images(0)[:1])
