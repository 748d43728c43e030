from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ArrayError, ConfigError
from restore.samplers.posterior import Calibration, Moments, expected_share


@given(n=st.integers(2, 12), offset=st.floats(-1e3, 1e3), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_moments_equal_those_of_the_stack(n: int, offset: float, seed: int) -> None:
    samples = offset + torch.randn(n, 3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    first, moments = samples[0].clone(), Moments()
    for sample in samples:
        moments.add(sample)
    torch.testing.assert_close(moments.mean, samples.mean(0))
    torch.testing.assert_close(moments.deviation(), samples.std(0), rtol=1e-6, atol=1e-9)
    assert torch.equal(samples[0], first)  # the first sample is not the accumulator


def test_one_sample_has_no_spread() -> None:
    moments = Moments()
    moments.add(torch.zeros(3))
    for call in (moments.deviation, lambda: expected_share(1.0, 1), lambda: Calibration(samples=1)):
        with pytest.raises(ConfigError, match="at least 2 samples, not 1"):
            call()


@pytest.mark.parametrize("samples", [2, 3, 5, 30])
@pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 3.0])
def test_expected_share_equals_students_distribution(samples: int, k: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = 1 - 2 * stats.t.sf(k / math.sqrt(1 + 1 / samples), samples - 1)
    assert expected_share(k, samples) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("samples", [2, 8])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_calibration_of_gaussian_samples(samples: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(samples)
    calibration = Calibration(samples)
    for _ in range(4):
        truth = torch.randn(3, 60, 60, generator=generator)
        moments = Moments()
        for _ in range(samples):
            moments.add(scale * torch.randn(3, 60, 60, generator=generator))
        calibration.add(truth, moments.mean, moments.deviation())
    error = 5 / calibration.values**0.5
    for k, (share, expected) in calibration.shares().items():
        if scale == 1:
            assert share == pytest.approx(expected, abs=error), k
        else:
            assert (share < expected - error) == (scale < 1), k
    if scale == 1:
        assert calibration.spread_to_error() == pytest.approx(1, abs=0.03)
    else:
        assert (calibration.spread_to_error() < 0.95) == (scale < 1)


def test_shapes_must_agree() -> None:
    with pytest.raises(ArrayError, match=r"\(3, 2, 2\), \(3, 2, 2\), \(3, 2, 1\)"):
        Calibration(2).add(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2), torch.zeros(3, 2, 1))
