from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.threshold import Dynamic, DynamicallyClipped, NoThreshold, Static, ThresholdSpec, magnitude
from restore.errors import ConfigError
from restore.schema import parse

NOWHERE = Level(torch.ones(2, dtype=torch.int64), torch.full((2,), 0.5))


def wild(scale: float) -> torch.Tensor:
    return torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([scale, 0.1]).view(
        2, 1, 1, 1
    )


@given(percentile=st.floats(0, 1), size=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_magnitude_equals_quantile(percentile: float, size: int) -> None:
    x = torch.randn(3, 1, 1, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    expected = torch.quantile(x.abs().flatten(1), percentile, dim=1)
    torch.testing.assert_close(magnitude(x, percentile), expected, rtol=1e-12, atol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("percentile", [0.7, 0.995, 1.0])
def test_dynamic_equals_diffusers(percentile: float) -> None:
    from diffusers import DDPMScheduler

    x = wild(4.0)
    scheduler = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=percentile, sample_max_value=100.0)
    ours = DynamicallyClipped(lambda *_: Estimate(x), percentile)(x, NOWHERE, Condition(x)).x0
    torch.testing.assert_close(ours, scheduler._threshold_sample(x), rtol=0, atol=1e-6)
    assert ours.abs().max() <= 1 and torch.equal(ours[1], x[1])  # an image within the range stays


def test_each_kind_around_a_denoiser() -> None:
    x = wild(4.0)

    def denoiser(x_t: torch.Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(x)

    for spec, expected in ((Static(low=0, high=0.5), x.clamp(0, 0.5)), (NoThreshold(), x)):
        assert torch.equal(spec.around(denoiser)(x, NOWHERE, Condition(x)).x0, expected)
    assert isinstance(Dynamic().around(denoiser), DynamicallyClipped)
    with pytest.raises(ConfigError, match=r"percentile.*got 1.5"):
        parse(ThresholdSpec, {"kind": "dynamic", "percentile": 1.5}, "threshold")
