"""PSNR, SSIM, MS-SSIM and MAE against scikit-image and plain NumPy, and the properties they must have."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore.errors import ArrayError
from restore.evaluation.metrics import UNIFORM, bt601_luma, mae, ms_ssim, psnr, ssim

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
QUICK = settings(max_examples=20, deadline=None)


def batch(array: np.ndarray) -> torch.Tensor:
    """(H, W, C) or (B, H, W, C) as (B, C, H, W)."""
    tensor = torch.from_numpy(np.array(array))
    return (tensor if tensor.ndim == 4 else tensor[None]).permute(0, 3, 1, 2)


def noisy_pair(seed: int, shape: tuple[int, ...], spread: float = 20.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, shape, generator=generator).double()
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (clean + spread * noise).round().clamp(0, 255), clean


def noise(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return clean + generator.normal(0, 20, clean.shape)


def blur(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return gaussian_filter(clean.astype(float), (generator.uniform(0.5, 3), generator.uniform(0.5, 3), 0))


def haze(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    transmission = generator.uniform(0.3, 0.9)
    return clean * transmission + 220 * (1 - transmission)


def jpeg(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(clean).save(buffer, "JPEG", quality=int(generator.integers(5, 60)))
    return np.asarray(Image.open(buffer))


def streaks(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    drops = (generator.random(clean.shape[:2]) > 0.98) * 255.0
    return clean + 4 * gaussian_filter(drops, (6, 0.5))[..., None]


DEGRADATIONS = [noise, blur, haze, jpeg, streaks]


def assert_equals_skimage(degraded: np.ndarray, clean: np.ndarray) -> None:
    a, b = batch(degraded), batch(clean)
    luma_a, luma_b = bt601_luma(a), bt601_luma(b)
    plane_a, plane_b = luma_a[0, 0].numpy(), luma_b[0, 0].numpy()
    assert psnr(a, b).item() == pytest.approx(peak_signal_noise_ratio(clean, degraded, data_range=255), abs=1e-4)
    assert ssim(a, b).item() == pytest.approx(structural_similarity(clean, degraded, channel_axis=-1, **WANG), abs=1e-6)
    expected = peak_signal_noise_ratio(plane_b, plane_a, data_range=255)
    assert psnr(luma_a, luma_b).item() == pytest.approx(expected, abs=1e-4)
    assert ssim(luma_a, luma_b).item() == pytest.approx(structural_similarity(plane_b, plane_a, **WANG), abs=1e-6)


@pytest.mark.parametrize("degrade", DEGRADATIONS, ids=lambda f: f.__name__)
def test_every_kodak_image_scores_as_in_skimage(shared: Path, degrade) -> None:
    generator = np.random.default_rng(7)
    names = sorted((shared / "data" / "super_resolution" / "Kodak24").glob("*.png"))
    assert len(names) == 24
    for name in names:
        height, width = 256 + int(generator.integers(20)), 256 + int(generator.integers(20))
        with Image.open(name) as opened:
            top, left = generator.integers(opened.height - height), generator.integers(opened.width - width)
            clean = np.array(opened.crop((left, top, left + width, top + height)).convert("RGB"))
        degraded = np.clip(np.round(degrade(clean, generator)), 0, 255).astype(np.uint8)
        assert_equals_skimage(degraded, clean)


def test_a_whole_kodak_image_scores_as_in_skimage(shared: Path) -> None:
    with Image.open(shared / "data" / "super_resolution" / "Kodak24" / "kodim04.png") as opened:
        clean = np.array(opened.convert("RGB"))
    assert clean.shape == (768, 512, 3)
    assert_equals_skimage(jpeg(clean, np.random.default_rng(0)), clean)


@QUICK
@given(st.integers(11, 70), st.integers(11, 70), st.integers(1, 4), st.integers(0, 10**6))
def test_ssim_of_any_size_equals_skimage(height: int, width: int, channels: int, seed: int) -> None:
    a, b = noisy_pair(seed, (1, channels, height, width))
    x, y = a[0].permute(1, 2, 0).numpy(), b[0].permute(1, 2, 0).numpy()
    assert ssim(a, b).item() == pytest.approx(structural_similarity(x, y, channel_axis=-1, **WANG), abs=1e-9)
    uniform = structural_similarity(x, y, channel_axis=-1, win_size=11, data_range=255)
    assert ssim(a, b, window=UNIFORM).item() == pytest.approx(uniform, abs=1e-9)


def test_ssim_of_unit_range_equals_skimage() -> None:
    a, b = noisy_pair(3, (1, 1, 40, 50))
    expected = structural_similarity(a[0, 0].numpy() / 255, b[0, 0].numpy() / 255, **(WANG | {"data_range": 1.0}))
    assert ssim(a / 255, b / 255, data_range=1.0).item() == pytest.approx(expected, abs=1e-9)


def plain_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang, Simoncelli and Bovik 2003 for one grey image, as their MATLAB code takes it."""
    result = 1.0
    for level, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        inner = (slice(5, -5), slice(5, -5))
        mean_a, mean_b, aa, bb, ab = (gaussian_filter(x, 1.5, truncate=3.5)[inner] for x in (a, b, a * a, b * b, a * b))
        cs = (2 * (ab - mean_a * mean_b) + 58.5225) / (aa - mean_a**2 + bb - mean_b**2 + 58.5225)
        light = (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
        result *= max((light * cs).mean() if level == 4 else cs.mean(), 0) ** weight
        padded = [np.pad(x, [(0, n % 2) for n in x.shape], mode="symmetric") for x in (a, b)]
        a, b = (sum(x[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for x in padded)
    return result


@pytest.mark.parametrize("size", [(161, 176), (203, 181)])
def test_ms_ssim_equals_its_definition(size: tuple[int, int]) -> None:
    a, b = noisy_pair(5, (2, 2, *size), spread=40)
    a = torch.nn.functional.avg_pool2d(a, 3, stride=1, padding=1)
    expected = [
        np.mean([plain_ms_ssim(x.numpy(), y.numpy()) for x, y in zip(*p, strict=True)]) for p in zip(a, b, strict=True)
    ]
    assert ms_ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)
    assert ms_ssim(b, b).tolist() == pytest.approx([1.0, 1.0])


def test_ms_ssim_of_a_negative_is_zero_and_not_nan() -> None:
    _, b = noisy_pair(5, (1, 1, 161, 161))
    assert ms_ssim(255 - b, b).item() == 0.0


def test_values_known_in_closed_form() -> None:
    a = torch.full((2, 3, 16, 16), 100.0)
    b = a + torch.tensor([5.0, 10.0]).view(2, 1, 1, 1)
    assert psnr(a, b).tolist() == pytest.approx([20 * np.log10(255 / 5), 20 * np.log10(255 / 10)])
    assert psnr(a / 255, b / 255, data_range=1.0).tolist() == pytest.approx(psnr(a, b).tolist(), abs=1e-4)
    assert mae(a, b).tolist() == [5.0, 10.0]
    light = [(2 * 100 * m + 6.5025) / (100**2 + m**2 + 6.5025) for m in (105, 110)]
    assert ssim(a, b).tolist() == pytest.approx(light, abs=1e-9)


def test_psnr_is_the_mean_of_images_and_not_of_their_errors() -> None:
    a = torch.zeros(2, 1, 11, 11)
    b = torch.stack([torch.full((1, 11, 11), 1.0), torch.full((1, 11, 11), 100.0)])
    pooled = 10 * np.log10(255**2 / ((1 + 100**2) / 2))
    assert psnr(a, b).mean().item() > pooled + 10


def test_identical_images() -> None:
    _, b = noisy_pair(1, (2, 3, 20, 30))
    assert psnr(b, b).tolist() == [float("inf")] * 2
    assert ssim(b, b).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    assert mae(b, b).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("metric", [psnr, ssim, mae], ids=lambda f: f.__name__)
def test_a_batch_gives_what_its_members_give(metric) -> None:
    a, b = noisy_pair(2, (5, 3, 61, 37))
    alone = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(5)])
    assert torch.equal(metric(a, b), alone)
    assert torch.equal(metric(a[:2], b[:2]), alone[:2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.float64])
def test_the_type_of_whole_levels_does_not_matter(dtype: torch.dtype) -> None:
    a, b = noisy_pair(4, (2, 3, 33, 47))
    for metric in (psnr, ssim, mae):
        result = metric(a.to(dtype), b.to(dtype))
        assert result.dtype == torch.float64
        assert torch.equal(result, metric(a, b))


def test_inputs_are_left_alone_whatever_their_layout() -> None:
    a, b = noisy_pair(6, (2, 3, 30, 41))
    before = a.clone(), b.clone()
    shuffled = [x.to(memory_format=torch.channels_last) for x in (a, b)]
    assert torch.equal(ssim(*shuffled), ssim(a, b))
    assert torch.equal(ssim(a[..., ::2], b[..., ::2]), ssim(a[..., ::2].clone(), b[..., ::2].clone()))
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu() -> None:
    a, b = noisy_pair(8, (3, 3, 300, 200))
    for metric in (psnr, ssim, ms_ssim, mae):
        torch.testing.assert_close(metric(a.cuda(), b.cuda()).cpu(), metric(a, b), rtol=1e-10, atol=1e-10)


@QUICK
@given(st.integers(0, 10**6), st.floats(1, 80))
def test_order_and_orientation_do_not_matter(seed: int, spread: float) -> None:
    a, b = noisy_pair(seed, (1, 3, 23, 31), spread)
    for metric in (psnr, ssim, mae):
        value = metric(a, b).item()
        for x, y in (
            (b, a),
            (a.flip(-1), b.flip(-1)),
            (a.transpose(-1, -2), b.transpose(-1, -2)),
            (a[:, [2, 0, 1]], b[:, [2, 0, 1]]),
        ):
            assert metric(x, y).item() == pytest.approx(value, rel=1e-10)


@QUICK
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_a_common_scale_does_not_matter(seed: int, factor: float) -> None:
    a, b = noisy_pair(seed, (1, 1, 20, 20))
    assert psnr(a * factor, b * factor, 255 * factor).item() == pytest.approx(psnr(a, b).item(), rel=1e-9)
    assert ssim(a * factor, b * factor, 255 * factor).item() == pytest.approx(ssim(a, b).item(), rel=1e-8)


@QUICK
@given(st.integers(0, 10**6))
def test_more_noise_scores_worse_and_ssim_stays_in_range(seed: int) -> None:
    little, clean = noisy_pair(seed, (1, 1, 32, 32), spread=5)
    much, _ = noisy_pair(seed, (1, 1, 32, 32), spread=60)
    assert psnr(much, clean) < psnr(little, clean)
    assert -1 <= ssim(much, clean) < ssim(little, clean) <= 1


def test_bad_shapes_are_named() -> None:
    a, b = torch.zeros(1, 3, 12, 12), torch.zeros(1, 3, 12, 13)
    for metric in (psnr, ssim, ms_ssim, mae):
        with pytest.raises(ArrayError, match=r"\(1, 3, 12, 12\) and \(1, 3, 12, 13\)"):
            metric(a, b)
        with pytest.raises(ArrayError, match=r"\(B, C, H, W\)"):
            metric(a[0], a[0])
        with pytest.raises(ArrayError, match="nothing to compare"):
            metric(a[:0], a[:0])


@pytest.mark.parametrize("size", [(10, 40), (40, 10)])
def test_an_image_smaller_than_the_window_is_an_error(size: tuple[int, int]) -> None:
    a = torch.zeros(1, 3, *size)
    with pytest.raises(ArrayError, match=f"at least 11 pixels.*{size[0]}x{size[1]}"):
        ssim(a, a)
    assert ssim(torch.zeros(1, 1, 11, 11), torch.zeros(1, 1, 11, 11)).item() == 1.0
    with pytest.raises(ArrayError, match="161"):
        ms_ssim(torch.zeros(1, 1, 160, 300), torch.zeros(1, 1, 160, 300))
