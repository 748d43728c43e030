from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from restore.diffusion.schedule import Linear, Schedule
from restore.errors import ConfigError
from restore.schema import parse
from restore.training.objective import Antithetic, AtTheEnd, Continuous, Importance, LevelSampling, LossHistory, Uniform
from restore.training.objective.levels import between

SCHEDULE = Linear(steps=40, beta_end=0.3).build()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_uniform_reaches_every_level_equally() -> None:
    level = Uniform()(40_000, SCHEDULE, generator())
    counts = torch.bincount(level.t, minlength=41)
    assert counts[0] == 0 and bool(((counts[1:] - 1000).abs() < 5 * 1000**0.5).all())
    assert torch.equal(level.alpha_bar, SCHEDULE.alpha_bar[level.t])


@given(batch=st.integers(1, 33), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_antithetic_levels_mirror_each_other(batch: int, seed: int) -> None:
    t = Antithetic()(batch, SCHEDULE, generator(seed)).t
    half = (batch + 1) // 2
    assert len(t) == batch and bool(((t >= 1) & (t <= 40)).all())
    assert torch.equal(t[half:], 41 - t[: batch - half])


def test_a_share_stands_at_the_end() -> None:
    t = AtTheEnd(share=0.7)(20_000, SCHEDULE, generator()).t
    expected = 0.7 + 0.3 / 40
    assert float((t == 40).float().mean()) == pytest.approx(expected, abs=0.02)
    assert len(t.unique()) == 40


@given(
    within=st.sampled_from(["alpha_bar", "sqrt_alpha_bar"]),
    first=st.integers(1, 3),
    shared=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_continuous_levels_lie_within_their_step(within, first: int, shared: bool, seed: int) -> None:
    level = Continuous(within=within, first=first, shared=shared)(16, SCHEDULE, generator(seed))
    low, high = SCHEDULE.alpha_bar[level.t], SCHEDULE.alpha_bar[level.t - 1]
    assert bool(((level.alpha_bar >= low) & (level.alpha_bar <= high)).all())
    assert bool((level.t >= first).all()) and (len(level.t.unique()) == 1) == (shared or len(level.t.unique()) == 1)
    assert len(level.alpha_bar.unique()) == 16


def test_a_first_step_above_the_last() -> None:
    with pytest.raises(ConfigError, match=r"at most 40, .* not 41"):
        Continuous(first=41)(2, SCHEDULE, generator())


def train_table(facts: dict[str, Any]) -> Schedule:
    train = facts["config"]["beta_schedule"]["train"]
    return Linear(steps=train["n_timestep"], beta_start=train["linear_start"], beta_end=train["linear_end"]).build()


@pytest.mark.golden
@pytest.mark.parametrize(("prefix", "module"), [("guided", "guided_diffusion"), ("sr3", "sr3")])
def test_levels_equal_palettes(prefix: str, module: str, shared: Path) -> None:
    golden = load_file(shared / "golden" / "palette" / "golden.safetensors")
    facts = json.loads((shared / "golden" / "palette" / "facts.json").read_text())["modules"][module]
    t, u = golden[f"{prefix}.loss.t"].flatten().long() + 1, golden[f"{prefix}.loss.u"].flatten()
    # theirs goes the other way, from the cleaner level to the noisier one
    level = between(train_table(facts), t, 1 - u, "alpha_bar")
    expected = golden[f"{prefix}.loss.sample_gammas"].flatten().double()
    torch.testing.assert_close(level.alpha_bar, expected, rtol=0, atol=1e-7)


@pytest.mark.golden
def test_levels_equal_those_of_sr3(shared: Path) -> None:
    golden = load_file(shared / "golden" / "sr3" / "golden.safetensors")
    facts = json.loads((shared / "golden" / "sr3" / "facts.json").read_text())["modules"]["sr3"]
    expected, u = golden["sr3.loss.level"].flatten().double(), golden["sr3.loss.u"].flatten()
    t = torch.full((len(expected),), facts["loss"]["t"])
    level = between(train_table(facts), t, 1 - u, "sqrt_alpha_bar")
    torch.testing.assert_close(level.alpha_bar.sqrt(), expected, rtol=0, atol=1e-7)


def test_importance_is_uniform_until_every_level_is_known() -> None:
    sampler, history = Importance(keep=2), LossHistory()
    _level, weight = sampler.draw(8, SCHEDULE, generator(), history)
    torch.testing.assert_close(weight, torch.ones(8))
    every = torch.arange(1, 41)
    sampler.learn(SCHEDULE.level(every), torch.full((40,), 3.0), SCHEDULE, history)
    assert history.weights(40, 2, 0.001).unique().numel() == 1
    sampler.learn(SCHEDULE.level(every), every.double(), SCHEDULE, history)
    weights = history.weights(40, 2, 0.001)
    expected = ((9 + every.double() ** 2) / 2).sqrt()
    torch.testing.assert_close(weights, 0.999 * expected / expected.sum() + 0.001 / 40)
    # the oldest loss is forgotten
    sampler.learn(SCHEDULE.level(every), every.double(), SCHEDULE, history)
    torch.testing.assert_close(history.weights(40, 2, 1e-9), every.double() / every.sum(), rtol=1e-6, atol=1e-9)


def test_importance_sampling_is_unbiased_and_scatters_less() -> None:
    losses = torch.linspace(3, 0.1, 40, dtype=torch.float64) ** 2
    sampler, history = Importance(keep=3), LossHistory()
    for _ in range(3):
        sampler.learn(SCHEDULE.level(torch.arange(1, 41)), losses, SCHEDULE, history)
    level, weight = sampler.draw(30_000, SCHEDULE, generator(), history)
    weighted = losses[level.t - 1] * weight
    plain = losses[Uniform()(30_000, SCHEDULE, generator()).t - 1]
    assert float(weighted.mean()) == pytest.approx(float(losses.mean()), rel=0.01)
    assert weighted.std() < 0.1 * plain.std()


def test_of_many_losses_of_a_level_the_last_are_remembered_in_their_order() -> None:
    """One update by a whole batch is many by one loss each."""
    draws = torch.Generator().manual_seed(0)
    t, loss = torch.randint(1, 4, (60,), generator=draws), torch.rand(60, generator=draws).double()
    whole, single = LossHistory(), LossHistory()
    for part in (slice(0, 7), slice(7, 50), slice(50, 60)):
        whole.update(t[part], loss[part], T=3, keep=4)
        for i in range(*part.indices(60)):
            single.update(t[i : i + 1], loss[i : i + 1], T=3, keep=4)
        assert torch.equal(whole.losses, single.losses) and torch.equal(whole.counts, single.counts)
    last = [loss[t == level][-4:].sort().values for level in (1, 2, 3)]
    assert torch.equal(whole.losses.sort(1).values, torch.stack(last))


def test_the_history_survives_saving() -> None:
    history, other = LossHistory(), LossHistory()
    history.update(torch.tensor([1, 40, 1]), torch.tensor([1.0, 2.0, 3.0]), 40, 10)
    other.load_state_dict(history.state_dict())
    assert torch.equal(other.losses, history.losses) and torch.equal(other.counts, history.counts)
    other.update(torch.tensor([2]), torch.tensor([1.0]), 40, 10)
    assert history.counts[1] == 0  # a copy
    other.load_state_dict({})
    assert other.losses is None


def test_bad_values_are_named() -> None:
    for document, said in (
        ({"kind": "random"}, "'random'.*uniform, antithetic, at_the_end, continuous, importance"),
        ({"kind": "continuous", "within": "beta"}, "within.*'alpha_bar' or 'sqrt_alpha_bar'.*got 'beta'"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse(LevelSampling, document, "levels")
