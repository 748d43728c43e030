"""Protocols against plain NumPy, OpenCV, Pillow and scikit-image renderings of their definitions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from restore.errors import ArrayError, ConfigError, MissingResource
from restore.evaluation.metrics import (
    METRICS,
    PROTOCOLS,
    Protocol,
    delta_e,
    get_metric,
    get_protocol,
    mae,
    prepare_input,
    protocol_size,
    score,
)

LIMITED = np.array([65.481, 128.553, 24.966]) / 255


def tensor(*images: np.ndarray) -> torch.Tensor:
    """8-bit or float levels (H, W, 3) as the package's batch in [-1, 1]."""
    stacked = np.stack([p.astype(np.float64) for p in images])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2) / 127.5 - 1


def photograph(seed: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    smooth = gaussian_filter(generator.normal(0, 1, (height, width, 3)), (4, 4, 0))
    return np.clip(np.round(128 + smooth / smooth.std() * 60), 0, 255).astype(np.uint8)


def noisy(image: np.ndarray, seed: int, spread: float = 15) -> np.ndarray:
    shift = np.random.default_rng(seed).normal(0, spread, image.shape)
    return np.clip(np.round(image + shift), 0, 255).astype(np.uint8)


def db(a: np.ndarray, b: np.ndarray) -> float:
    return 20 * np.log10(255 / np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def gaussian_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang's SSIM of one plane with the full two-dimensional window of OpenCV."""
    taps = cv2.getGaussianKernel(11, 1.5)

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.filter2D(x, -1, taps @ taps.T)[5:-5, 5:-5]

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = 2.55**2, 7.65**2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((light * (2 * cov + c2) / (var_a + var_b + c2)).mean())


def one(scores: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in scores.items()}


def test_native_and_rgb_are_what_they_say() -> None:
    clean = photograph(0, 40, 50)
    degraded = noisy(clean, 1)
    luma_a, luma_b = degraded @ LIMITED + 16, clean @ LIMITED + 16
    native = one(score(tensor(degraded), tensor(clean), "native"))
    assert native == pytest.approx({"psnr": db(luma_a, luma_b), "ssim": gaussian_ssim(luma_a, luma_b)}, abs=1e-9)
    planes = [gaussian_ssim(*(np.ascontiguousarray(x[..., i], float) for x in (degraded, clean))) for i in range(3)]
    rgb = one(score(tensor(degraded), tensor(clean), "rgb"))
    assert rgb == pytest.approx({"psnr": db(degraded, clean), "ssim": np.mean(planes)}, abs=1e-9)


def test_outputs_are_rounded_and_not_truncated() -> None:
    clean = photograph(0, 30, 30)
    degraded = noisy(clean, 1, 3).astype(float) + np.random.default_rng(2).uniform(-0.49, 0.49, clean.shape)
    saved = np.clip(np.rint(degraded), 0, 255)
    assert one(score(tensor(degraded), tensor(clean), "rgb"))["psnr"] == pytest.approx(db(saved, clean), abs=1e-9)
    beyond = tensor(clean).clone()
    beyond[beyond > 0] += 3.0
    clipped = np.where(clean > 127, 255, clean)
    assert one(score(beyond, tensor(clean), "rgb"))["psnr"] == pytest.approx(db(clipped, clean), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_whole_levels_survive_short_float_types(dtype: torch.dtype) -> None:
    clean = photograph(3, 20, 24)
    assert len(np.unique(clean)) > 150
    scores = score(tensor(clean).to(dtype), tensor(clean), "rgb")
    assert scores["psnr"].item() == float("inf")
    assert scores["psnr"].dtype == scores["ssim"].dtype == torch.float64


def weatherdiff_in_pillow(photo: np.ndarray) -> np.ndarray:
    image = Image.fromarray(photo)
    width, height = image.size
    if height > width and height > 1024:
        width, height = int(np.ceil(width * 1024 / height)), 1024
    elif height <= width and width > 1024:
        width, height = 1024, int(np.ceil(height * 1024 / width))
    size = (int(16 * np.ceil(width / 16.0)), int(16 * np.ceil(height / 16.0)))
    return np.array(image.resize(size, Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size", [(70, 100), (64, 96), (31, 1301), (1100, 50)])
def test_weatherdiff_equals_its_script(size: tuple[int, int]) -> None:
    clean = photograph(4, *size)
    truth = weatherdiff_in_pillow(clean)
    output = noisy(truth, 5)  # what a model gives that saw the resized input
    luma_a, luma_b = output @ LIMITED + 16, truth @ LIMITED + 16
    expected = {"psnr": db(luma_a, luma_b), "ssim": gaussian_ssim(luma_a, luma_b)}
    assert protocol_size(*size, "weatherdiff") == truth.shape[:2]
    assert one(score(tensor(output), tensor(clean), "weatherdiff")) == pytest.approx(expected, abs=1e-9)

    full = noisy(clean, 6)  # an output of the original size is resized like the ground truth
    resized = weatherdiff_in_pillow(full)
    got = one(score(tensor(full), tensor(clean), "weatherdiff"))
    assert got["psnr"] == pytest.approx(db(resized @ LIMITED, truth @ LIMITED), abs=1e-9)
    assert torch.equal((prepare_input(tensor(full), "weatherdiff") + 1) * 127.5, (tensor(resized) + 1) * 127.5)


def test_only_a_protocol_that_resizes_changes_the_input() -> None:
    image = tensor(photograph(7, 33, 49)) + 0.001
    for name in PROTOCOLS:
        prepared = prepare_input(image, name)
        assert (prepared is image) == (name != "weatherdiff")
    assert prepare_input(image, "weatherdiff").shape[-2:] == (48, 64)


@pytest.mark.parametrize("size", [(50, 60), (37, 80)])
def test_histoformer_equals_its_script(size: tuple[int, int]) -> None:
    clean = photograph(8, 50, 60)
    output = noisy(photograph(8, 50, 60) if size == (50, 60) else photograph(9, *size), 10)
    bgr = [cv2.cvtColor(x, cv2.COLOR_RGB2BGR).astype(np.float64) / 255 for x in (output, clean)]
    resized = cv2.resize(bgr[0], (60, 50))
    luma_a, luma_b = ((x * 255 @ LIMITED + 16) / 255 for x in (resized, bgr[1]))
    expected = {
        "psnr": db(luma_a * 255, luma_b * 255),
        "ssim": structural_similarity(luma_a, luma_b, win_size=11, data_range=1),
    }
    assert one(score(tensor(output), tensor(clean), "histoformer")) == pytest.approx(expected, abs=1e-6)
    single = score(tensor(output).float(), tensor(clean).float(), "histoformer")
    assert one(single) == pytest.approx(expected, abs=1e-6)


def test_t3_equals_its_script() -> None:
    clean = photograph(11, 40, 44)
    output = clean + np.random.default_rng(12).normal(0, 20, clean.shape)  # unrounded, and beyond the ends
    assert output.min() < 0 and output.max() > 255
    planes = [np.rint(np.clip((x / 255 @ LIMITED * 255 + 16) / 255, 0, 1) * 255) for x in (output, clean.astype(float))]
    expected = {"psnr": db(*planes), "ssim": gaussian_ssim(*planes)}
    assert one(score(tensor(output), tensor(clean), "t3")) == pytest.approx(expected, abs=1e-9)


def test_irsde_prints_colors_and_luma_inside_the_border() -> None:
    clean = photograph(13, 40, 44)
    output = noisy(clean, 14)
    a, b = (x[4:-4, 4:-4].astype(np.float64) for x in (output, clean))
    planes = [gaussian_ssim(*(np.ascontiguousarray(x[..., i]) for x in (a, b))) for i in range(3)]
    expected = {
        "psnr": db(a, b),
        "ssim": np.mean(planes),
        "psnr_y": db(a @ LIMITED, b @ LIMITED),
        "ssim_y": gaussian_ssim(a @ LIMITED + 16, b @ LIMITED + 16),
    }
    assert one(score(tensor(output), tensor(clean), "irsde-crop4")) == pytest.approx(expected, abs=1e-9)


def cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def resize_matrix(n: int, m: int) -> np.ndarray:
    """MATLAB's imresize along one axis: antialiased cubic weights, the image mirrored at its ends."""
    shrink = min(m / n, 1)
    reach = int(np.ceil(2 / shrink)) + 1
    centres = (np.arange(m) + 0.5) * n / m - 0.5
    near = np.floor(centres)[:, None].astype(int) + np.arange(-reach, reach + 2)
    taps = cubic((centres[:, None] - near) * shrink)
    folded = np.where(near < 0, -1 - near, near)
    folded = np.where(folded >= n, 2 * n - 1 - folded, folded)
    matrix = np.zeros((m, n))
    np.add.at(matrix, (np.arange(m)[:, None], folded), taps / taps.sum(1, keepdims=True))
    return matrix


def imresize(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = resize_matrix(planes.shape[1], height), resize_matrix(planes.shape[2], width)
    return np.clip(np.floor(rows @ planes @ columns.T + 0.5), 0, 255)


@pytest.mark.parametrize(
    ("name", "count", "decibels", "similarity"), [("Set5", 5, 28.42, 0.8104), ("Set14", 14, 26.00, 0.7027)]
)
def test_bicubic_x4_gives_the_published_numbers(
    shared: Path, name: str, count: int, decibels: float, similarity: float
) -> None:
    scores = []
    for path in sorted((shared / "data" / "super_resolution" / name).glob("*.png")):
        with Image.open(path) as opened:
            clean = np.atleast_3d(np.array(opened)).transpose(2, 0, 1).astype(float)
        height, width = clean.shape[1:]
        enlarged = imresize(imresize(clean, height // 4, width // 4), height, width)
        a, b = (torch.from_numpy(x)[None].float() / 127.5 - 1 for x in (enlarged, clean))
        scores.append(one(score(a, b, "sr", scale=4)))
    assert len(scores) == count
    assert np.mean([s["psnr"] for s in scores]) == pytest.approx(decibels, abs=0.02)
    assert np.mean([s["ssim"] for s in scores]) == pytest.approx(similarity, abs=0.002)


def test_a_grey_file_is_scored_on_its_levels_in_super_resolution_only() -> None:
    clean, output = photograph(16, 40, 40)[..., :1], noisy(photograph(16, 40, 40), 18)
    gray_output = output[..., :1]
    expected = db(gray_output[3:-3, 3:-3], clean[3:-3, 3:-3])
    assert score(tensor(gray_output), tensor(clean), "sr", scale=3)["psnr"].item() == pytest.approx(expected, abs=1e-6)
    inner = [tensor(x[3:-3, 3:-3]) for x in (gray_output, clean)]
    assert score(*inner, "native")["psnr"].item() - expected == pytest.approx(1.3219, abs=1e-4)
    assert score(*inner, "rgb")["psnr"].item() == pytest.approx(expected, abs=1e-6)

    weighed = output @ np.array([0.299, 0.587, 0.114])  # a coloured output for a grey truth
    colored = score(tensor(output), tensor(clean), "sr", scale=3)["psnr"].item()
    assert colored == pytest.approx(db(weighed[3:-3, 3:-3], clean[3:-3, 3:-3, 0]), abs=1e-6)
    resized = torch.from_numpy(weatherdiff_in_pillow(np.ascontiguousarray(clean[..., 0])))
    assert torch.equal(((prepare_input(tensor(clean), "weatherdiff") + 1) * 127.5).round()[0, 0], resized.double())


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(sorted(PROTOCOLS)), st.integers(2, 4), st.integers(0, 1000))
def test_a_batch_gives_what_its_members_give(name: str, count: int, seed: int) -> None:
    clean = [photograph(seed + i, 33, 40) for i in range(count)]
    output = [noisy(p, seed + i) for i, p in enumerate(clean)]
    together = score(tensor(*output), tensor(*clean), name, scale=2)
    for i in range(count):
        alone = score(tensor(output[i]), tensor(clean[i]), name, scale=2)
        assert {key: value[i].item() for key, value in together.items()} == one(alone)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_cuda_equals_cpu(name: str) -> None:
    clean = [photograph(i, 61, 80) for i in range(3)]
    a, b = tensor(*[noisy(p, 1) for p in clean]), tensor(*clean)
    on_gpu = score(a.cuda(), b.cuda(), name, scale=2)
    for key, value in score(a, b, name, scale=2).items():
        torch.testing.assert_close(on_gpu[key].cpu(), value, rtol=1e-10, atol=1e-10)


def test_protocols_give_different_numbers_for_one_pair() -> None:
    clean = photograph(20, 50, 70)
    clean[..., 2] //= 2
    output = noisy(clean, 21)
    values = {name: round(one(score(tensor(output), tensor(clean), name, scale=2))["ssim"], 6) for name in PROTOCOLS}
    assert len(set(values.values())) == len(PROTOCOLS), values


def test_other_metrics_can_be_asked_for() -> None:
    clean = photograph(22, 170, 180)
    output = noisy(clean, 23)
    names = ("mae", "delta_e", "color_shift", "ms_ssim", "psnr_y", "ssim_y", "psnr")
    scores = score(tensor(output), tensor(clean), "rgb", metrics=names)
    assert tuple(scores) == names
    levels = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (output, clean)]
    assert scores["mae"].item() == pytest.approx(mae(*levels).item())
    assert scores["delta_e"].item() == pytest.approx(delta_e(*levels).item())
    native = score(tensor(output), tensor(clean), "native")
    assert scores["psnr_y"].item() == native["psnr"].item()


def test_a_metric_without_its_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    image = tensor(photograph(24, 40, 40))
    with pytest.raises(MissingResource, match="alexnet"):
        score(image, image, "rgb", metrics=["lpips_alex"])


def test_unknown_names_are_answered_with_the_accepted_ones() -> None:
    image = tensor(photograph(25, 20, 20))
    with pytest.raises(ConfigError, match="'y-channel'; accepted: native, rgb, weatherdiff"):
        score(image, image, "y-channel")
    with pytest.raises(ConfigError, match=r"'sim'; did you mean .*choose psnr, ssim"):
        score(image, image, "rgb", metrics=["sim"])
    with pytest.raises(ConfigError, match="fid compares two sets"):
        score(image, image, "rgb", metrics=["fid"])
    for scale in (None, 0):
        with pytest.raises(ConfigError, match="scale must be a whole number"):
            score(image, image, "sr", scale=scale)


def test_images_that_cannot_be_compared_are_refused() -> None:
    a, b = tensor(photograph(26, 20, 20)), tensor(photograph(26, 20, 24))
    for name in ("native", "rgb", "t3", "weatherdiff"):
        with pytest.raises(ArrayError, match=r"20x20 and the ground truth 20x24.*" + name):
            score(a, b, name)
    with pytest.raises(ArrayError, match="2 restored images for 1"):
        score(torch.cat([a, a]), a, "native")
    with pytest.raises(ArrayError, match=r"restored: .*not finite"):
        score(a * float("nan"), a, "native")
    with pytest.raises(ArrayError, match=r"target: .*not finite"):
        score(a, a * float("inf"), "native")
    with pytest.raises(ArrayError, match=r"restored: .*\(1, 2, 20, 20\)"):
        score(a[:, :2], a, "native")
    with pytest.raises(ArrayError, match="uint8"):
        score(a.to(torch.uint8), a, "native")
    with pytest.raises(ArrayError, match="11 pixels"):
        score(a[..., :10], a[..., :10], "native")
    with pytest.raises(ArrayError, match="leaves nothing of an image of 20x20"):
        score(a, a, "sr", scale=10)


def test_own_protocols_are_checked() -> None:
    own = Protocol(name="own", description="full-range luma without a border", luma="bt601-full", crop=2)
    assert get_protocol(own) is own
    clean = photograph(27, 30, 30)
    a, b = tensor(noisy(clean, 28)), tensor(clean)
    inner = [x[..., 2:-2, 2:-2] for x in (a, b)]
    assert score(*inner, "native")["psnr"].item() - score(a, b, own)["psnr"].item() == pytest.approx(1.3219, abs=1e-4)
    for wrong in (
        {"metrics": ("psnr", "sim")},
        {"crop": -1},
        {"crop": "border"},
        {"luma": "bt709"},
        {"geometry": "multiple-of-16", "quantise": "never"},
        {"typo": 1},
    ):
        with pytest.raises(ValidationError):
            Protocol(name="own", description="", **wrong)


def test_every_metric_states_what_it_is() -> None:
    for name, metric in METRICS.items():
        assert get_metric(name) is metric and metric.name == name
        assert metric.description and any(year in metric.reference for year in map(str, range(2000, 2030)))
    assert METRICS["psnr"].direction == "higher" and METRICS["lpips_alex"].direction == "lower"
    assert METRICS["kid"].range == "(-inf, inf)"
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and protocol.description
        assert set(protocol.metrics) <= set(METRICS)
