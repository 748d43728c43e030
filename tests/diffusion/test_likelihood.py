from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from restore.contracts import Condition
from restore.diffusion.likelihood import bits_per_dim, discretised_log_likelihood, normal_kl, prior_bits
from restore.diffusion.schedule import Cosine, Linear

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def recorded() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "schedules.safetensors")


@pytest.mark.golden
def test_primitives_equal_the_recorded_ones(recorded: dict[str, torch.Tensor]) -> None:
    tolerance = json.loads((GOLDEN / "schedules.json").read_text())["tolerance"]
    x, means, log_scales = (recorded[f"prim.{name}"] for name in ("x", "means", "log_scales"))
    kl = normal_kl(x, log_scales, means, log_scales / 2)
    torch.testing.assert_close(kl, recorded["prim.normal_kl"], rtol=0, atol=tolerance["prim.normal_kl"])
    name = "prim.discretized_gaussian_log_likelihood"
    found = discretised_log_likelihood(x.double(), means.double(), log_scales.double())
    torch.testing.assert_close(found, recorded[f"{name}.f64"], rtol=1e-9, atol=1e-9)
    single = discretised_log_likelihood(x, means, log_scales)
    torch.testing.assert_close(single, recorded[name], rtol=0, atol=tolerance[name])


@pytest.mark.golden
def test_tails_are_those_of_float64(recorded: dict[str, torch.Tensor]) -> None:
    x, log_scales = recorded["prim.x"], recorded["prim.log_scales"]
    found = discretised_log_likelihood(x, recorded["prim.tail_means"], log_scales)
    expected = recorded["prim.discretized_gaussian_log_likelihood.tail.f64"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_probabilities_of_all_8_bit_values_sum_to_one() -> None:
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    for mean, scale in ((0.0, 0.3), (-0.99, 0.05), (0.7, 2.0)):
        log_p = discretised_log_likelihood(
            values, torch.full_like(values, mean), torch.full_like(values, math.log(scale))
        )
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_normal_kl_equals_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    m1, v1, m2, v2 = (torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(4))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(m1, (v1 / 2).exp()), normal(m2, (v2 / 2).exp()))
    torch.testing.assert_close(normal_kl(m1, v1, m2, v2), expected)


@pytest.mark.parametrize("spacing", [None, "20"])
def test_the_bound_is_exact_for_gaussian_data(spacing: str | None, independent, generator: torch.Generator) -> None:
    """With the exact reverse variance every step is the true posterior, so that the bound is -log p(x0) itself.

    What remains is known: how far q(x_T) is from the noise that the bound assumes, per value.
    """
    mean, variance = 0.1, 0.04
    schedule = Linear(steps=60, beta_start=2e-2, beta_end=0.3).build()
    levels = schedule.steps(None if spacing is None else 20, "linspace")
    data = independent(mean, variance)
    x0 = data.draw((4000, 1, 1, 6), generator)
    x0 = x0[(x0.abs() < 0.99).flatten(1).all(1)]
    draw = lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)  # noqa: E731
    found = bits_per_dim(
        data.with_variance(schedule, levels), x0, Condition(x0), schedule, draw, levels=levels, variance="learned"
    )
    density = 0.5 * math.log(2 * math.pi * variance) + (x0 - mean).square() / (2 * variance)
    exact = (density.flatten(1).mean(1) + math.log(127.5)) / math.log(2)
    end = schedule.alpha_bar[-1].item()
    marginal = torch.tensor([end**0.5 * mean, math.log(end * variance + 1 - end)], dtype=torch.float64)
    gap = normal_kl(marginal[0], marginal[1], torch.zeros(()), torch.zeros(())).item() / math.log(2)
    difference = found.total - exact
    error = difference.std().item() / len(x0) ** 0.5
    assert error < 0.01
    assert difference.mean().item() == pytest.approx(gap, abs=4 * error + 0.003)  # 0.003: the bins' width


def test_terms_are_the_closed_form_of_signal_to_noise(independent, generator: torch.Generator) -> None:
    """With variance beta-tilde, E[L_{t-1}] is half the fall of the SNR times the mmse (Kingma et al. 2021, eq. 13)."""
    schedule = Cosine(steps=12).build()
    data = independent(0.0, 0.25)
    x0 = data.draw((3000, 1, 1, 4), generator)
    draw = lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)  # noqa: E731
    found = bits_per_dim(data, x0, Condition(x0), schedule, draw)
    a = schedule.alpha_bar
    snr = a / (1 - a)
    for i, t in enumerate(range(12, 1, -1)):
        expected = 0.5 * (snr[t - 1] - snr[t]).item() * data.mmse(a[t]).item() / math.log(2)
        bits = found.steps[:, i]
        assert bits.mean().item() == pytest.approx(expected, abs=5 * bits.std().item() / len(x0) ** 0.5)
        mse = found.x0_mse[:, i]
        assert mse.mean().item() == pytest.approx(data.mmse(a[t]).item(), abs=5 * mse.std().item() / len(x0) ** 0.5)
    ratio = found.eps_mse / found.x0_mse
    torch.testing.assert_close(ratio, snr[1:].flip(0).expand_as(ratio), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.total, found.steps.sum(1) + found.prior)


def test_the_prior_term() -> None:
    schedule = Linear(steps=100).build()
    x0 = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    a = schedule.alpha_bar[-1].item()
    expected = 0.5 * (a * 0.25 + (1 - a) - 1 - math.log(1 - a)) / math.log(2)
    torch.testing.assert_close(prior_bits(x0, schedule), torch.full((2,), expected, dtype=torch.float64))
