from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from restore.contracts import Condition
from restore.denoisers.parameterization import Parameterization
from restore.diffusion.schedule import Cosine, Learned, LearnedSchedule, LogSNR, Schedule, ScheduleSpec
from restore.errors import ConfigError
from restore.models.recipe import Recipe
from restore.schema import parse
from restore.training.objective import Batch, ContinuousBound, Setting, Simple


@given(seed=st.integers(0, 9999), spread=st.floats(0, 4))
@settings(max_examples=25, deadline=None)
def test_log_snr_falls_whatever_the_parameters(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    module = LogSNR(8.0, -5.0, 16).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    time = torch.linspace(0, 1, 101, dtype=torch.float64)
    log_snr = module(time)
    assert bool((log_snr.diff() < 0).all())
    torch.testing.assert_close(log_snr[[0, -1]], torch.stack([module.start, module.end]))


def test_the_derivative_is_that_of_the_rise() -> None:
    module = LogSNR(8.0, -5.0, 16).double()
    time = torch.linspace(0, 1, 11, dtype=torch.float64, requires_grad=True)
    value, slope = module.rise(time)
    (expected,) = torch.autograd.grad(value.sum(), time)
    torch.testing.assert_close(slope, expected)


def test_a_fresh_schedule_is_nearly_straight_in_log_snr() -> None:
    schedule = Learned(steps=50, start=9.0, end=-5.0).build()
    assert isinstance(schedule, LearnedSchedule) and schedule.T == 50
    found = torch.tensor([schedule.log_snr(t) for t in range(1, 51)])
    torch.testing.assert_close(found, torch.linspace(9, -5, 50), rtol=0, atol=0.7)


def train(parameterization: Parameterization, network: nn.Module, draw, rounds: int) -> list[float]:
    bound, generator = ContinuousBound().build(Setting(network, parameterization)), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([*network.parameters(), *bound.parameters()], lr=0.02)
    losses = []
    for _ in range(rounds):
        x0 = draw(generator)
        optimizer.zero_grad()
        loss = bound(Batch(x0, Condition(x0), generator))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class Exact(nn.Module):
    """The optimal noise prediction for values N(0, variance), told the level by log SNR."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = variance

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        alpha_bar = value.double().sigmoid().reshape(-1, 1, 1, 1)
        total = alpha_bar * self.variance + 1 - alpha_bar
        return ((1 - alpha_bar).sqrt() * x_t / total).to(x_t)


VARIANCE = 0.1


def values(generator: torch.Generator) -> Tensor:
    return (VARIANCE**0.5 * torch.randn(64, 3, 4, 4, generator=generator)).clamp(-0.99, 0.99)


def test_the_bound_of_the_exact_network_is_the_entropy(independent) -> None:
    """In continuous time nothing is lost: the bound is -log2 p(x0) of the data, wherever the schedule lies."""
    entropy = (0.5 * math.log(2 * math.pi * math.e * VARIANCE) + math.log(127.5)) / math.log(2)
    for start, end in ((9.0, -8.0), (8.0, -9.0)):
        parameterization = Parameterization(Learned(start=start, end=end).build(), "eps", "log_snr")
        bound = ContinuousBound().build(Setting(Exact(VARIANCE), parameterization))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            found = [float(bound(Batch(x0, Condition(x0), generator))) for x0 in (values(generator) for _ in range(60))]
        assert sum(found) / len(found) == pytest.approx(entropy, abs=0.04)


def test_learning_evens_out_the_terms() -> None:
    """The shape between the ends descends the scatter of the estimate, not the bound."""
    parameterization = Parameterization(Learned(start=9.0, end=-9.0, hidden=64).build(), "eps", "log_snr")
    module = parameterization.schedule.module

    def scatter() -> float:
        time = torch.linspace(0.005, 0.995, 400)
        with torch.no_grad():
            rise, slope = module.rise(time)
            alpha_bar = (module.start - module.log_range.exp() * rise).double().sigmoid()
            error = alpha_bar * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)  # of the noise, at best
            term = slope * error
        return float(term.std() / term.mean())

    before = scatter()
    losses = train(parameterization, Exact(VARIANCE), values, 120)
    assert scatter() < 0.6 * before
    assert sum(losses[-20:]) <= sum(losses[:20]) + 1.0
    fresh = parameterization.schedule.refreshed()
    assert bool((fresh.alpha_bar.diff() < 0).all()) and not torch.equal(
        fresh.alpha_bar, parameterization.schedule.alpha_bar
    )


def test_the_ends_descend_the_bound() -> None:
    """An end too clean or too noisy costs bits; both move to where they cost least."""
    parameterization = Parameterization(Learned(start=2.0, end=0.0, hidden=8).build(), "eps", "log_snr")
    losses = train(parameterization, Exact(VARIANCE), values, 80)
    module = parameterization.schedule.module
    assert float(module.start.detach()) > 2.5 and float(module.end.detach()) < -0.5
    assert sum(losses[-10:]) < sum(losses[:10])


def test_a_trained_schedule_is_a_table_in_the_recipe() -> None:
    spec = Learned(steps=20, hidden=8)
    schedule = spec.build()
    stored = parse(ScheduleSpec, spec.trained(schedule).model_dump(mode="json"), "schedule")
    again = stored.build()
    assert type(again) is Schedule
    torch.testing.assert_close(again.alpha_bar, schedule.alpha_bar, rtol=1e-12, atol=1e-15)


def test_the_loss_saves_its_schedule_and_tells_the_recipe() -> None:
    spec = Learned(steps=20, hidden=8)
    bound, other = (
        ContinuousBound().build(Setting(Exact(1.0), Parameterization(spec.build(), "eps", "log_snr"))) for _ in range(2)
    )
    with torch.no_grad():
        bound.modules()["schedule"].slope.add_(1.0)
    other.load_state_dict(bound.state_dict())
    recipe = Recipe(name="learned", schedule=spec)
    table = bound.trained(recipe).schedule.table
    assert table is not None and table == other.trained(recipe).schedule.table
    assert len(bound.parameters()) == 6 and bound.trained(recipe).schedule.build().T == 20
    fixed = Simple().build(Setting(Exact(1.0), Parameterization(Cosine().build(), "eps", "t")))
    assert fixed.parameters() == [] and fixed.trained(recipe) is recipe


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"start": 1.0, "end": 2.0}, "end must be below start, 1.0, not 2.0"),
        ({"steps": 3, "table": [1.0, 0.0]}, "each of the 3 levels, not 2"),
        ({"steps": 2, "table": [1.0, 1.0]}, "decrease strictly"),
    ],
)
def test_bad_values_are_named(document: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(ScheduleSpec, {"kind": "learned", **document}, "schedule")


def test_the_bound_needs_a_learned_schedule() -> None:
    with pytest.raises(ConfigError, match="choose schedule kind learned"):
        ContinuousBound().build(Setting(Exact(1.0), Parameterization(Cosine().build(), "eps", "t")))
