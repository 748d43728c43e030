from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restore.diffusion.parameterization import PredictionKind, noised, prediction_target, to_eps, to_x0
from restore.diffusion.schedule import Cosine, Linear, ZeroTerminal
from restore.errors import ConfigError

SCHEDULES = {"linear": Linear(steps=100).build(), "cosine": Cosine(steps=100).build(), "zero": ZeroTerminal().build()}
PREDICTIONS: list[PredictionKind] = ["eps", "x0", "v", "residual", "posterior_mean"]


def drawn(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(3))  # type: ignore[return-value]


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
@given(where=st.floats(0, 1), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_round_trip_at_every_level(name: str, prediction: PredictionKind, where: float, seed: int) -> None:
    schedule = SCHEDULES[name]
    t = 1 + round(where * (schedule.T - 1))
    x0, eps, condition = drawn(seed)
    level, below = schedule.level(t, 2), schedule.level(t - 1, 2).alpha_bar
    x_t = noised(x0, eps, level.alpha_bar)
    target = prediction_target(x0, eps, level.alpha_bar, prediction, condition, below)
    if prediction == "eps" and level.alpha_bar[0] == 0:
        with pytest.raises(ConfigError, match="use v, x0 or residual"):
            to_x0(target, x_t, level.alpha_bar, prediction, condition, below)
        return
    found = to_x0(target, x_t, level.alpha_bar, prediction, condition, below)
    # an error of x_t grows by 1 / sqrt(alpha_bar) where the noise is all that is predicted
    tolerance = 1e-11 / max(float(level.alpha_bar[0]), 1e-9) ** 0.5 if prediction == "eps" else 1e-7
    torch.testing.assert_close(found, x0, rtol=0, atol=tolerance)
    torch.testing.assert_close(to_eps(found, x_t, level.alpha_bar), eps, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prediction", ["v", "x0", "residual", "posterior_mean"])
def test_both_ends_are_exact(prediction: PredictionKind) -> None:
    schedule = SCHEDULES["zero"]
    x0, eps, condition = drawn(1)
    for t in (1, schedule.T):
        alpha_bar, below = schedule.level(t, 2).alpha_bar, schedule.level(t - 1, 2).alpha_bar
        target = prediction_target(x0, eps, alpha_bar, prediction, condition, below)
        found = to_x0(target, noised(x0, eps, alpha_bar), alpha_bar, prediction, condition, below)
        torch.testing.assert_close(found, x0, rtol=0, atol=1e-9)


def test_the_posterior_mean_of_the_first_level_is_the_image() -> None:
    x0, eps, condition = drawn(2)
    schedule = SCHEDULES["linear"]
    level, clean = schedule.level(1, 2), schedule.level(0, 2).alpha_bar
    target = prediction_target(x0, eps, level.alpha_bar, "posterior_mean", condition, clean)
    torch.testing.assert_close(target, x0, rtol=0, atol=1e-12)


def test_the_clean_end_has_no_noise() -> None:
    x0, _, _ = drawn(3)
    one = torch.ones(2, dtype=torch.float64)
    assert torch.equal(to_eps(x0, x0, one), torch.zeros_like(x0))
    assert torch.equal(noised(x0, torch.full_like(x0, 9.0), one), x0)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(to_eps(to_x0(x0, x0, half, "eps", x0), x0, half), x0, rtol=0, atol=1e-12)


def test_a_posterior_mean_without_its_schedule_says_so() -> None:
    x0, _, condition = drawn(4)
    with pytest.raises(ConfigError, match="the schedule that it was trained with"):
        to_x0(x0, x0, torch.full((2,), 0.5), "posterior_mean", condition)


@pytest.mark.parametrize("call", [to_x0, prediction_target])
def test_an_unknown_prediction_names_the_choices(call) -> None:
    x0, eps, condition = drawn(5)
    with pytest.raises(ConfigError, match="'score'; choose eps, x0, v, residual or posterior_mean"):
        call(x0, eps, torch.full((2,), 0.5), "score", condition)
