"""The textures that weather is made of, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from restore.degradations.fields import Canvas, blend, scatter, smooth_field, smoothstep
from restore.degradations.random import Random
from restore.degradations.snow import Snow


def kernel(angle: float, length: float, sigma: float, size: int = 64) -> torch.Tensor:
    """The image of one particle at the centre of the canvas."""
    canvas = Canvas(size, size, torch.device("cpu"))
    impulse = torch.zeros(1, size, size)
    impulse[0, size // 2, size // 2] = 1.0
    spectrum = canvas.motion(torch.tensor([angle]), torch.tensor([length]), torch.tensor([sigma]))
    return canvas.paint(torch.fft.rfft2(impulse) * spectrum)[0]


@pytest.mark.parametrize("length", [0.01, 5.0, 21.0])
def test_a_vertical_streak_is_a_box_under_a_gaussian(length: float) -> None:
    sigma = 1.5
    offset = torch.arange(64.0) - 32.0
    scale = sigma * math.sqrt(2.0)
    rows = torch.erf((offset + length / 2) / scale) - torch.erf((offset - length / 2) / scale)
    columns = torch.exp(-(offset**2) / (2 * sigma**2))
    expected = rows[:, None] / rows.max() * columns
    torch.testing.assert_close(kernel(0.0, length, sigma), expected, atol=2e-3, rtol=0.0)


def test_a_quarter_turn_swaps_the_axes() -> None:
    torch.testing.assert_close(kernel(math.pi / 2, 15.0, 1.0), kernel(0.0, 15.0, 1.0).T, atol=1e-4, rtol=0.0)


def test_the_peak_of_a_slanted_streak_is_one() -> None:
    for angle in (0.3, -0.9):
        assert abs(kernel(angle, 12.0, 1.2).max().item() - 1.0) < 0.01


def test_gradient_is_the_derivative_of_the_texture() -> None:
    canvas = Canvas(32, 48, torch.device("cpu"))
    y = torch.arange(32.0)[:, None] * (2 * math.pi / 32)
    x = torch.arange(48.0) * (2 * math.pi / 48)
    spectrum = torch.fft.rfft2((y.sin() * x.cos())[None])
    slope_y, slope_x = canvas.gradient(spectrum)
    torch.testing.assert_close(slope_y[0], y.cos() * x.cos() * (2 * math.pi / 32), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(slope_x[0], -y.sin() * x.sin() * (2 * math.pi / 48), atol=1e-5, rtol=0.0)


def test_a_larger_share_shows_the_same_points_and_more() -> None:
    canvas = Canvas(64, 64, torch.device("cpu"))
    density, evenness = torch.tensor([0.02]), torch.tensor([0.5])
    painted = [
        torch.fft.irfft2(canvas.impulses(Random([3]), density, torch.tensor([share]), evenness))
        for share in (0.0, 0.4, 1.0)
    ]
    assert painted[0].abs().max() < 1e-5
    assert (painted[2] - painted[1]).min() > -1e-5
    assert (painted[1] > 1e-3).sum() > 10
    assert (painted[2] > 1e-3).sum() > (painted[1] > 1e-3).sum()


def test_the_number_of_points_is_the_density() -> None:
    canvas = Canvas(64, 64, torch.device("cpu"))
    one = torch.ones(4)
    counted = canvas.impulses(Random(range(4)), one * 0.01, one, one)[:, 0, 0].real
    torch.testing.assert_close(counted, torch.full((4,), 0.01 * 64 * 64), atol=1e-3, rtol=0.0)


def test_points_apart_keep_their_distance_for_every_share() -> None:
    canvas = Canvas(96, 96, torch.device("cpu"))
    one = torch.ones(8)
    for share in (0.3, 1.0):
        nearest = []
        for apart in (False, True):
            grid = torch.fft.irfft2(canvas.impulses(Random(range(8)), one * 0.01, one * share, one, apart))
            points = [(sample > 0.5).nonzero().float() for sample in grid]
            gaps = [torch.cdist(p, p).fill_diagonal_(1e9).min(1).values.mean() for p in points]
            nearest.append(torch.stack(gaps).mean().item())
        assert nearest[1] > 1.1 * nearest[0]


def test_smooth_field_has_unit_variance_and_is_smooth() -> None:
    field = smooth_field(Random(range(64)), 6, 48, 64)
    assert field.shape == (64, 48, 64)
    assert 0.7 < field.std().item() < 1.3
    assert (field[:, :, 1:] - field[:, :, :-1]).abs().max() < 1.0


def test_smoothstep_is_the_cubic_ramp() -> None:
    values = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 3.0])
    torch.testing.assert_close(smoothstep(values, 0.0, 1.0), torch.tensor([0.0, 0.0, 0.15625, 0.5, 1.0, 1.0]))


def test_blending_laws() -> None:
    clean = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    amount = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(1))
    colour = torch.full((2, 3), 0.7)
    m = amount[:, None]
    torch.testing.assert_close(blend(clean, amount, colour, torch.zeros(2, 3)), clean + 0.7 * m)
    torch.testing.assert_close(blend(clean, amount, colour, colour), 1 - (1 - clean) * (1 - 0.7 * m))
    torch.testing.assert_close(blend(clean, amount, colour, torch.ones(2, 3)), clean * (1 - m) + 0.7 * m)


def test_scatter_is_exact_in_clear_air() -> None:
    clean = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scatter(clean, torch.ones(2, 5, 4), torch.full((2, 3), 0.9)), clean)
    half = scatter(clean, torch.full((2, 5, 4), 0.5), torch.full((2, 3), 0.9))
    torch.testing.assert_close(half, clean / 2 + 0.45)


def test_motion_is_finite_where_its_phase_vanishes() -> None:
    """Along a streak of 45 degrees the phase is exactly 0 on a whole diagonal of frequencies."""
    canvas = Canvas(64, 64, torch.device("cpu"))
    spectrum = canvas.motion(torch.tensor([-math.pi / 4]), torch.tensor([20.0]), torch.tensor([1.0]))
    assert torch.isfinite(spectrum).all()
    ones = canvas.motion(torch.tensor([0.0]), torch.tensor([0.05]), torch.tensor([0.5]))
    assert ones[0, 0, 0] > 0


def test_a_seed_whose_phase_cancelled_by_rounding() -> None:
    assert torch.isfinite(Snow()(torch.rand(1, 3, 256, 256), Random([1417]))).all()


def test_nothing_is_drawn_of_an_empty_batch() -> None:
    canvas, none = Canvas(20, 31, torch.device("cpu")), torch.zeros(0)
    spectrum = canvas.impulses(Random([]), none, none, none) * canvas.motion(none, none, none)
    assert spectrum.shape == canvas.blank(0).shape and spectrum.dtype == canvas.blank(0).dtype
    assert canvas.paint(spectrum).shape == (0, 20, 31)
    assert all(slope.shape == (0, 20, 31) for slope in canvas.gradient(spectrum))
