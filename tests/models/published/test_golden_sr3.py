"""SR3's own numbers, its DDPM variant's, and those of a network without a condition."""

from __future__ import annotations

import pytest
import torch

from restore.contracts import Condition, Level
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import ScheduleSpec
from restore.errors import CheckpointError
from restore.models.published import pickles
from restore.models.published.convert import identify
from restore.models.published.settings import OriginalSettings
from restore.models.published.sr3 import FREQUENCIES, SR3_TABLES
from restore.networks.layers import level_features
from restore.samplers import RecordedNoise
from restore.samplers.ancestral import ancestral_mean
from restore.schema import parse
from restore.training.objective.levels import between

MODULES = ("sr3", "ddpm", "sr3_uncond")


@pytest.fixture(params=MODULES)
def module(golden, request):
    g, name = golden("sr3"), request.param
    facts = g.facts["modules"][name]
    (file,) = [file for file in facts["files"] if file.endswith("_gen.pth")]
    return g, name, facts, g.restorer(f"{name}/{file}", facts["config"], preset="published")


def given(g, name: str, key: str, like: torch.Tensor) -> Condition:
    """Return the condition of a recorded array; a network without one is shown nothing."""
    return Condition(torch.zeros_like(like) if name == "sr3_uncond" else g[f"{name}.{key}"])


def test_level_features(golden):
    g = golden("sr3")
    for name in MODULES:
        values = g[f"{name}.embedding.{'t' if name == 'ddpm' else 'levels'}"].flatten().float()
        width = g[f"{name}.embedding.out"].shape[1]
        g.close(f"{name}.embedding.out", level_features(values, width, "sin", endpoint=False))


def test_network(module):
    g, name, facts, restorer = module
    images = g[f"{name}.forward.x"]
    value = g[f"{name}.forward.{'t' if name == 'ddpm' else 'level'}"].flatten()
    x, condition = images[:, -3:], Condition(images[:, :-3])
    assert sum(p.numel() for p in restorer.network.parameters()) == facts["n_params"]
    with torch.no_grad():
        g.close(f"{name}.forward.out", restorer.network(x, value, condition))
        exact = restorer.network.double()(x.double(), value.double(), condition.to(dtype=torch.float64))
    torch.testing.assert_close(exact, g[f"{name}.forward.out.f64"], rtol=0, atol=3e-5 if name == "ddpm" else 1e-7)


def test_schedule(module):
    g, name, _, restorer = module
    schedule, prefix = restorer.schedule, f"{name}.val_schedule"
    g.close(f"{prefix}.betas", schedule.beta.float())
    g.close(f"{prefix}.alphas_cumprod", schedule.alpha_bar[1:].float())
    steps = schedule.transitions()
    g.close(f"{prefix}.posterior_mean_coef1", steps.mean_x0.flip(0).float())
    g.close(f"{prefix}.posterior_mean_coef2", steps.mean_xt.flip(0).float())
    g.close(f"{prefix}.posterior_variance", steps.beta_tilde.flip(0).float())


def test_steps(module):
    g, name, facts, restorer = module
    x_t = g[f"{name}.step.x_t"]
    condition = given(g, name, "step.cond", x_t)
    denoiser, steps = restorer.denoiser(), restorer.schedule.transitions()
    for t, fact in facts["step"].items():
        level = restorer.schedule.level(int(t) + 1, len(x_t))
        if "noise_level_given_to_network" in fact:
            assert float(restorer.parameterization.value(level)[0]) == pytest.approx(
                fact["noise_level_given_to_network"]
            )
        with torch.no_grad():
            estimate = denoiser(x_t, level, condition)
        mean = ancestral_mean(estimate, x_t, steps.at(restorer.schedule.T - 1 - int(t)), "beta_tilde")
        g.close(f"{name}.step.t{t}.mean", mean)


def test_sampling(module):
    g, name, facts, restorer = module
    noises = g[f"{name}.sample.noises"]
    condition = given(g, name, "sample.SR", noises[0])
    frames = [noises[0] if name == "sr3_uncond" else condition.image]
    sampler = restorer.recipe.sampler
    assert sampler.evaluations(restorer.schedule) == facts["sample"]["T"]
    with torch.no_grad():
        for step in sampler(restorer.denoiser(), condition, restorer.schedule, RecordedNoise(noises)):
            if step.t % facts["sample"]["sample_inter"] == 0:
                frames.append(step.x_t.clone())
    g.close(f"{name}.sample.frames", torch.cat(frames))
    g.close(f"{name}.sample.out", frames[-1][-1])  # the original returns the last image of a batch alone


def test_loss(module):
    """Training: the level lies within one step, uniformly in its root, and the loss is the sum of absolute errors."""
    g, name, facts, restorer = module
    x0, eps = g[f"{name}.loss.HR"], g[f"{name}.loss.noise"]
    condition, schedule = given(g, name, "loss.SR", x0), restorer.parameterization.schedule
    assert facts["config"]["beta_schedule"]["train"]["n_timestep"] == schedule.T
    if name == "ddpm":
        level = schedule.level(g[f"{name}.loss.t"] + 1)
    else:
        t = torch.full((len(x0),), facts["loss"]["t"])
        level = between(schedule, t, 1 - g[f"{name}.loss.u"], "sqrt_alpha_bar")
        expected = g[f"{name}.loss.level"].flatten()
        torch.testing.assert_close(level.alpha_bar.sqrt().float(), expected)
        level = Level(t, level.alpha_bar)
    x_t = noised(x0, eps, level.alpha_bar)
    if name != "ddpm":
        shown = torch.cat([condition.image, x_t], dim=1) if name == "sr3" else x_t
        g.close(f"{name}.loss.net_input", shown)
    with torch.no_grad():
        output = restorer.network(x_t, restorer.parameterization.value(level), condition)
    g.close(f"{name}.loss.sum_l1", (output - eps).abs().sum())


def with_tables_of(state, length):
    """Return a state whose tables of the schedule have another length."""
    names = SR3_TABLES - {FREQUENCIES}
    return {**state, **{name: torch.zeros(length, device="meta") for name in names & set(state)}}


ENDS = {"beta_start": 1e-5, "beta_end": 0.02}


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "linear", **ENDS},
        {"kind": "quadratic", **ENDS},
        {"kind": "warmup", **ENDS, "share": 0.1},
        {"kind": "warmup", **ENDS, "share": 0.5},
        {"kind": "constant", "beta": 0.02},
        {"kind": "cosine"},
        {"kind": "jsd"},
    ],
    ids=lambda document: f"{document['kind']}{document.get('share', '')}",
)
def test_the_schedule_is_that_of_the_table(golden, document):
    state = with_tables_of(pickles.inspect(golden("sr3").folder / "sr3_uncond" / "I20000_E2_gen.pth"), 300)
    table = parse(ScheduleSpec, {**document, "steps": 300}, "test").build()
    recipe = identify({**state, "betas": table.beta.float()}, OriginalSettings()).recipe
    for name in ("schedule", "sampling_schedule"):
        found = parse(ScheduleSpec, recipe[name], name).build()
        torch.testing.assert_close(found.alpha_bar, table.alpha_bar, rtol=1e-4, atol=1e-9)


def test_a_table_of_no_known_schedule(golden):
    state = with_tables_of(pickles.inspect(golden("sr3").folder / "sr3_uncond" / "I20000_E2_gen.pth"), 300)
    state["betas"] = torch.linspace(0.1, 0.2, 300).cos()
    with pytest.raises(CheckpointError, match="of no schedule that is known"):
        identify(state, OriginalSettings())
    found = identify(state, OriginalSettings(["beta_schedule.train.schedule=quad"]))
    assert found.recipe["schedule"]["kind"] == "quadratic" and "not those of quad" in found.notes[0]
