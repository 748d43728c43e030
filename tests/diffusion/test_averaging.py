"""Averaging estimates of x0 over patches equals averaging estimates of the noise, and of the variance's fraction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.threshold import Clipped
from restore.denoisers.tiles import Tiles, in_tiles
from restore.diffusion.parameterization import to_eps, to_x0
from restore.diffusion.schedule import Linear

SCHEDULE = Linear(steps=100).build()
PATCHES = Tiles(size=8, overlap=5, multiple=2, fixed=True, window="uniform", context=0)


def eps_of(x_t: Tensor, level: Level) -> Tensor:
    """Some answer that depends on where a tile was cut."""
    return torch.tanh(x_t.roll(1, -1) - x_t.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("t", [1, 30, 100])
def test_averages_of_noise_and_of_images_are_the_same(t: int) -> None:
    x_t = torch.randn(1, 3, 15, 12, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
    level, condition = SCHEDULE.level(t), Condition(x_t)

    def as_x0(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(to_x0(eps_of(x_t, level), x_t, level.alpha_bar, "eps", x_t), x_t.sigmoid())

    def as_eps(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(eps_of(x_t, level))

    merged = in_tiles(as_x0, PATCHES)(x_t, level, condition)
    eps = in_tiles(as_eps, PATCHES)(x_t, level, condition).x0
    # weights are float32, and at the first level an error of x0 is thirty times larger in the noise
    torch.testing.assert_close(to_eps(merged.x0, x_t, level.alpha_bar), eps, rtol=0, atol=1e-5)
    torch.testing.assert_close(merged.fraction, x_t.sigmoid())
    # clipping before the merge is something else, where it has something to clip
    if t == 100:
        inside = in_tiles(Clipped(as_x0), PATCHES)(x_t, level, condition).x0
        outside = Clipped(in_tiles(as_x0, PATCHES))(x_t, level, condition).x0
        assert (inside - outside).abs().max() > 0.01
