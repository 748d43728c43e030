"""Means, bootstrap intervals and paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ArrayError
from restore.evaluation.metrics import bootstrap_interval, paired_difference, summarise

SCORES = st.lists(st.floats(-50, 50), min_size=2, max_size=40)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.integers(0, 1000))
def test_the_interval_covers_the_mean_and_stays_inside_the_data(scores: list[float], seed: int) -> None:
    summary = summarise(scores, resamples=400, seed=seed)
    assert summary.mean == pytest.approx(np.mean(scores), abs=1e-9)
    assert summary.low is not None and summary.high is not None
    assert min(scores) - 1e-9 <= summary.low <= summary.mean + 1e-9
    assert summary.mean - 1e-9 <= summary.high <= max(scores) + 1e-9


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        low, high = bootstrap_interval(generator.normal(30, 4, size=40), resamples=300, seed=trial)
        hits += low <= 30 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_interval_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(2).normal(30, 4, size=2000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    narrow = bootstrap_interval(values, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = torch.rand(30, generator=torch.Generator().manual_seed(0))
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values.tolist(), seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_many_images_are_drawn_in_parts() -> None:
    values = np.random.default_rng(3).normal(size=30_000)
    low, high = bootstrap_interval(values, resamples=100)
    assert low < values.mean() < high
    assert high - low < 0.05


def test_infinite_scores_are_counted_and_left_out() -> None:
    summary = summarise([30.0, math.inf, 32.0, math.inf])
    assert (summary.mean, summary.count, summary.infinite) == (31.0, 2, 2)
    only = summarise(torch.tensor([math.inf]))
    assert (only.mean, only.count, only.infinite, only.low, only.high) == (None, 0, 1, None, None)


def test_one_score_has_no_interval_and_none_has_no_mean() -> None:
    assert summarise([28.5]).model_dump() == {"mean": 28.5, "count": 1, "infinite": 0, "low": None, "high": None}
    assert summarise([]).mean is None


def test_a_paired_difference_takes_the_difficulty_of_images_out() -> None:
    generator = np.random.default_rng(4)
    difficulty = generator.normal(30, 5, size=60)
    first = difficulty + 0.3 + generator.normal(0, 0.2, size=60)
    second = difficulty + generator.normal(0, 0.2, size=60)
    difference = paired_difference(first, second)
    assert difference.mean == pytest.approx((first - second).mean())
    assert difference.clear
    apart = summarise(first), summarise(second)
    assert apart[0].low < apart[1].high  # the two intervals alone could not tell
    back = paired_difference(second, first)
    assert back.mean == pytest.approx(-difference.mean)
    assert not paired_difference(first, first).clear


def test_pairs_with_an_infinite_score_are_left_out() -> None:
    difference = paired_difference([30.0, math.inf, 33.0], [29.0, 30.0, math.inf])
    assert (difference.mean, difference.count, difference.infinite) == (1.0, 1, 2)
    assert not difference.clear


def test_a_handful_of_images_makes_no_difference_clear() -> None:
    few, enough = ([31.0 + i / 10 for i in range(count)] for count in (5, 6))
    assert not paired_difference(few, [30.0] * 5).clear and not paired_difference(few, [30.0] * 5).enough
    assert paired_difference(enough, [30.0] * 6).clear
    assert not paired_difference([*few, math.inf], [30.0] * 6).clear  # a pair that was left out does not count


def test_bad_scores_are_errors() -> None:
    with pytest.raises(ArrayError, match="score 1 of 2 is not a number"):
        summarise([1.0, math.nan])
    with pytest.raises(ArrayError, match="got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(ArrayError, match="at least two"):
        bootstrap_interval([1.0])
    with pytest.raises(ArrayError, match="at least two finite"):
        bootstrap_interval([1.0, math.inf])
