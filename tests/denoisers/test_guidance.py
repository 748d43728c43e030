"""Guidance against closed forms: for Gaussian data and a Gaussian likelihood, the posterior is Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.guidance import (
    ClassifierFree,
    ClassifierGradient,
    ClassifierGuided,
    ScoreGuided,
    data_consistency,
    dropped,
)
from restore.denoisers.threshold import Clipped
from restore.diffusion.schedule import Cosine, ZeroTerminal
from restore.errors import ConfigError

SCHEDULE = Cosine(steps=50).build()
MEAN, VARIANCE, SIGMA, ASKED = 0.2, 0.5, 0.3, 0.9


def drawn(generator: torch.Generator) -> Tensor:
    return torch.randn(4, 3, 2, 3, generator=generator, dtype=torch.float64)


def condition(value: float = ASKED, label: int | None = 1) -> Condition:
    image = torch.full((4, 3, 2, 3), value, dtype=torch.float64)
    small = torch.ones(4, 3, 2, 2).double()
    return Condition(image, None if label is None else torch.full((4,), label), small, 2 * small)


@pytest.mark.parametrize("t", [1, 10, 35, 49])
def test_an_exact_gradient_gives_the_tilted_gaussian(t: int, independent, generator: torch.Generator) -> None:
    data = independent(MEAN, VARIANCE)
    precision = 1 / VARIANCE + 1 / SIGMA**2
    tilted = independent((MEAN / VARIANCE + ASKED / SIGMA**2) / precision, 1 / precision)
    x_t, level = drawn(generator), SCHEDULE.level(t, 4)

    def gradient(x: Tensor, level: Level, condition: Condition) -> Tensor:
        # y | x_t ~ N(E[x0 | x_t], Var[x0 | x_t] + sigma^2)
        x = x.clone().requires_grad_()
        spread = data.mmse(level.alpha_bar).reshape(-1, 1, 1, 1) + SIGMA**2
        log_p = -((data(x, level, condition).x0 - condition.image) ** 2 / (2 * spread)).sum()
        return torch.autograd.grad(log_p, x)[0]

    guided = ClassifierGuided(data, gradient)(x_t, level, condition())
    torch.testing.assert_close(guided.x0, tilted(x_t, level, condition()).x0, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("t", [1, 10, 35, 49])
@pytest.mark.parametrize("inference", [False, True])
def test_a_score_through_the_denoiser_gives_the_same(t: int, inference: bool, independent, generator) -> None:
    data = independent(MEAN, VARIANCE)
    precision = 1 / VARIANCE + 1 / SIGMA**2
    tilted = independent((MEAN / VARIANCE + ASKED / SIGMA**2) / precision, 1 / precision)
    x_t, level = drawn(generator), SCHEDULE.level(t, 4)

    def score(x0: Tensor, level: Level, condition: Condition) -> Tensor:
        spread = data.mmse(level.alpha_bar).reshape(-1, 1, 1, 1) + SIGMA**2
        return -((x0 - condition.image) ** 2 / (2 * spread)).flatten(1).sum(1)

    with torch.inference_mode(inference):
        x_t = x_t.clone()
        guided = ScoreGuided(data, score)(x_t, level, condition())
        torch.testing.assert_close(guided.x0, tilted(x_t, level, condition()).x0, rtol=1e-9, atol=1e-12)
        assert not guided.x0.requires_grad
        # one step uphill in x0 is the same where the scale is the variance of the tilted x0 given x_t
        mmse = data.mmse(level.alpha_bar[:1]).item()
        uphill = ScoreGuided(data, score, scale=mmse, through="x0")(x_t, level, condition())
        torch.testing.assert_close(uphill.x0, tilted(x_t, level, condition()).x0, rtol=1e-9, atol=1e-12)


def test_data_consistency_is_a_log_likelihood() -> None:
    x0, asked = torch.zeros(2, 3, 4, 4), condition(0.5).select(slice(0, 2))
    asked = asked.replaced(image=torch.full((2, 3, 2, 2), 0.5))
    score = data_consistency(lambda x: x[..., ::2, ::2], sigma=0.5)
    torch.testing.assert_close(score(x0, SCHEDULE.level(1, 2), asked), torch.full((2,), -12 * 0.25 / 0.5))
    with pytest.raises(ConfigError, match="above 0, not 0"):
        data_consistency(lambda x: x, sigma=0)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_classifier_free_guidance_of_two_gaussians(scale: float, independent, generator: torch.Generator) -> None:
    # p(x | c)^scale p(x)^(1 - scale) of Gaussians of one variance has the mean moved along their difference
    def network(x_t: Tensor, level: Level, asked: Condition) -> Estimate:
        known = float(asked.label[0]) if asked.label is not None else 0.0
        return independent(MEAN + 0.4 * known, VARIANCE)(x_t, level, asked)

    x_t, level = drawn(generator), SCHEDULE.level(20, 4)
    guided = ClassifierFree(network, scale)(x_t, level, condition())
    tilted = independent(MEAN + 0.4 * scale, VARIANCE)(x_t, level, condition())
    torch.testing.assert_close(guided.x0, tilted.x0, rtol=1e-12, atol=1e-12)


def test_guidance_without_a_dropped_condition_is_refused(independent) -> None:
    with pytest.raises(ConfigError, match=r"scale 2.0 needs .* only scale 1"):
        ClassifierFree(independent(0.0, 1.0), 2.0, drop=())
    ClassifierFree(independent(0.0, 1.0), 1.0, drop=())


def test_what_is_dropped() -> None:
    asked = condition()
    assert dropped(asked, ("label",)).label.tolist() == [0] * 4
    assert torch.equal(dropped(asked, ("label",)).image, asked.image)
    rows = torch.tensor([True, False, True, False])
    partly = dropped(asked, ("label", "image"), rows)
    assert partly.label.tolist() == [0, 1, 0, 1]
    for field in (partly.image, partly.thumbnail, partly.features):
        assert bool((field[rows] == 0).all()) and bool((field[~rows] != 0).all())
    assert dropped(condition(label=None), ("label",)).label is None


def test_the_free_branch_sees_the_given_features(generator: torch.Generator) -> None:
    seen = []

    def network(x_t: Tensor, level: Level, asked: Condition) -> Estimate:
        seen.append(asked)
        return Estimate(x_t)

    grey = torch.full((1, 3, 2, 2), 0.25, dtype=torch.float64)
    guided = ClassifierFree(network, 2.0, ("image",), grey)
    guided(drawn(generator), SCHEDULE.level(3, 4), condition())
    assert bool((seen[0].features == 2).all()) and bool((seen[1].features == 0.25).all())
    assert bool((seen[0].thumbnail == 1).all()) and bool((seen[1].thumbnail == 0).all())
    assert bool((seen[1].image == 0).all()) and seen[1].label.tolist() == [1] * 4


def linear_classifier(x: Tensor, value: Tensor, asked: Condition) -> Tensor:
    return torch.stack([x.flatten(1).sum(1), -2 * x.flatten(1).sum(1)], dim=1)


def test_a_classifiers_gradient_is_that_of_its_log_probability(generator: torch.Generator) -> None:
    x_t, level = drawn(generator), SCHEDULE.level(20, 4)
    gradient = ClassifierGradient(linear_classifier, dtype=torch.float64)
    total = x_t.flatten(1).sum(1)
    for found, expected in (
        (gradient(x_t, level, condition()), -3 * torch.sigmoid(3 * total)),
        (gradient.towards(0)(x_t, level, condition(label=None)), 3 * torch.sigmoid(-3 * total)),
    ):
        # log softmax of (s, -2 s): its slope in s is 1 or -2, less the mean of the two
        torch.testing.assert_close(found, expected.reshape(-1, 1, 1, 1).expand_as(x_t), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="needs the label"):
        gradient(x_t, level, condition(label=None))


def test_by_the_mean_the_gradient_rides_along(independent, generator: torch.Generator) -> None:
    x_t, level = drawn(generator), SCHEDULE.level(20, 4)
    data, gradient = independent(MEAN, VARIANCE), ClassifierGradient(linear_classifier, dtype=torch.float64)
    estimate = Clipped(ClassifierGuided(data, gradient, scale=2.0, by="mean"))(x_t, level, condition())
    torch.testing.assert_close(estimate.gradient, 2 * gradient(x_t, level, condition()))
    assert torch.equal(estimate.x0, data(x_t, level, condition()).x0.clamp(-1, 1))


def test_where_nothing_is_left_guidance_changes_nothing(independent, generator: torch.Generator) -> None:
    schedule = ZeroTerminal().build()
    x_t, level = drawn(generator), schedule.level(schedule.T, 4)
    gradient = ClassifierGradient(linear_classifier, dtype=torch.float64)
    data = independent(MEAN, VARIANCE)
    guided = ClassifierGuided(data, gradient)(x_t, level, condition())
    assert torch.equal(guided.x0, data(x_t, level, condition()).x0)
