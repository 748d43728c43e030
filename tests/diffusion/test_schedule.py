from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from restore.diffusion.schedule import JSD, Constant, Cosine, Linear, Schedule, ScheduleSpec, Sigmoid, Warmup
from restore.diffusion.schedule.zero_terminal import ZeroTerminal
from restore.errors import ConfigError
from restore.schema import parse

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAMES = sorted(json.loads((GOLDEN / "schedules.json").read_text())["schedules"])
KINDS = ["linear", "quadratic", "constant", "jsd", "sigmoid", "warmup", "cosine", "zero_terminal", "learned"]


@pytest.fixture(scope="module")
def recorded() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "schedules.safetensors")


def document(name: str) -> dict[str, object]:
    return json.loads((GOLDEN / "schedules.json").read_text())["schedules"][name]


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_tables_equal_the_recorded_ones(name: str, recorded: dict[str, torch.Tensor]) -> None:
    schedule = parse(ScheduleSpec, document(name), name).build()
    levels = torch.linspace(0, schedule.T - 1, 33).round().long().unique() + 1
    torch.testing.assert_close(schedule.alpha_bar[levels], recorded[f"{name}.alpha_bar"], rtol=1e-12, atol=1e-30)


@pytest.mark.golden
def test_whole_tables_equal_the_recorded_ones(shared: Path) -> None:
    whole = load_file(shared / "golden" / "schedules.safetensors")
    compared = 0
    for key, table in whole.items():
        name, _, what = key.rpartition(".")
        if name not in NAMES:
            continue
        schedule = parse(ScheduleSpec, document(name), name).build()
        found = schedule.beta if what == "betas" else schedule.alpha_bar[1:]
        exact = table.dtype == torch.float64
        # float32 tables cannot be closer than a product of a thousand rounded factors
        rtol, atol = (1e-12, 1e-30) if exact else (1e-6, 1e-6)
        torch.testing.assert_close(found, table.double(), rtol=rtol, atol=atol)
        compared += 1
    assert compared >= 30


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("spacing", ["10", "ddim10"])
def test_respaced_tables_equal_the_recorded_ones(kind: str, spacing: str, recorded: dict[str, torch.Tensor]) -> None:
    schedule = (Linear() if kind == "linear" else Cosine()).build()
    levels = schedule.steps(None, spacing)
    steps = schedule.transitions(levels)
    expected = {
        "alphas_cumprod": schedule.alpha_bar[levels[:-1]],
        "betas": steps.beta,
        "posterior_variance": steps.beta_tilde,
        "posterior_log_variance_clipped": steps.log_beta_tilde,
        "posterior_mean_coef1": steps.mean_x0,
        "posterior_mean_coef2": steps.mean_xt,
    }
    for name, values in expected.items():
        recorded_values = recorded[f"respaced.{kind}.{spacing}.{name}"]
        # the original takes 1 - beta of a beta near 1, which loses what alpha_bar still tells
        torch.testing.assert_close(values.flip(0), recorded_values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(steps=st.integers(25, 400))
@settings(max_examples=10, deadline=None)
def test_every_schedule_falls_from_one(kind: str, steps: int) -> None:
    given_steps = {"base": {"kind": "linear", "steps": steps}} if kind == "zero_terminal" else {"steps": steps}
    schedule = parse(ScheduleSpec, {"kind": kind, **given_steps}, kind).build()
    table = schedule.alpha_bar
    assert table.dtype == torch.float64 and len(table) == schedule.T + 1 == steps + 1
    assert table[0] == 1 and bool((table.diff() < 0).all()) and table[-1] >= 0
    torch.testing.assert_close(torch.cumprod(1 - schedule.beta, 0), table[1:], rtol=1e-9, atol=1e-15)


def test_scaled_constants_end_in_the_same_noise() -> None:
    ends = [Linear(steps=n).build().alpha_bar[-1].log().item() for n in (100, 1000, 4000)]
    assert max(ends) - min(ends) < 0.75  # of about -10


def test_jsd_falls_linearly() -> None:
    torch.testing.assert_close(JSD(steps=50).build().alpha_bar, torch.linspace(1, 0, 51, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore")
def test_zero_terminal_equals_diffusers() -> None:
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

    base = Linear(steps=200, beta_start=1e-4, beta_end=0.05)
    theirs = torch.cumprod(1 - rescale_zero_terminal_snr(base.build().beta), 0)
    ours = ZeroTerminal(base=base).build().alpha_bar
    torch.testing.assert_close(ours[1:], theirs, rtol=1e-9, atol=1e-12)
    assert ours[-1] == 0 and ours[1] == pytest.approx(base.build().alpha_bar[1].item(), rel=1e-12)


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (Linear(steps=10), "level 6 of 10"),
        (Constant(steps=10_000, beta=0.5), "alpha_bar[1076]"),
        (Warmup(steps=4000, beta_end=0.9), "alpha_bar["),
    ],
)
def test_impossible_schedules_name_the_level(spec: Linear, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.build()
    assert value in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [[1.0, 0.5, 0.5], [0.9, 0.5], [1.0, 0.5, 0.6], [1.0], [1.0, 0.2, -0.1]],
    ids=["flat", "start", "up", "one", "neg"],
)
def test_tables_that_are_no_schedule(table: list[float]) -> None:
    with pytest.raises(ConfigError):
        Schedule(torch.tensor(table, dtype=torch.float64))


def test_unknown_kinds_name_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"'sine'.*cosine"):
        parse(ScheduleSpec, {"kind": "sine"}, "x")


@given(steps=st.integers(2, 60), n=st.integers(1, 60), spacing=st.sampled_from(["trailing", "leading", "linspace"]))
@settings(max_examples=50, deadline=None)
def test_respacing_keeps_alpha_bar_at_the_visited_levels(steps: int, n: int, spacing: str) -> None:
    schedule = Sigmoid(steps=steps).build()
    levels = schedule.steps(min(n, steps), spacing)
    moves = schedule.transitions(levels)
    kept = torch.cumprod(1 - moves.beta.flip(0), 0)
    torch.testing.assert_close(kept, schedule.alpha_bar[levels[:-1]].flip(0), rtol=1e-10, atol=0)
    # the mean's coefficients lead a clean image without noise from level to level
    a_t, a_u = schedule.alpha_bar[moves.t].sqrt(), schedule.alpha_bar[moves.u].sqrt()
    torch.testing.assert_close(moves.mean_x0 + moves.mean_xt * a_t, a_u, rtol=1e-9, atol=0)
    assert bool((moves.beta_tilde <= moves.beta).all())


def test_level_and_log_snr() -> None:
    schedule = Cosine(steps=10).build()
    level = schedule.level(3, batch=2)
    assert level.t.tolist() == [3, 3] and level.alpha_bar.tolist() == [schedule.alpha_bar[3].item()] * 2
    assert schedule.log_snr(0) == float("inf") and JSD(steps=3).build().log_snr(3) == float("-inf")
    assert schedule.log_snr(3) == pytest.approx(torch.logit(schedule.alpha_bar[3]).item(), rel=1e-12)
