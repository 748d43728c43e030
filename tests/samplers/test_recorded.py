"""Whole sampling loops and guidance against the recorded numbers of guided-diffusion."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from restore.contracts import Condition, Denoiser
from restore.denoisers.guidance import ClassifierGradient, ClassifierGuided
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.threshold import Clipped
from restore.diffusion.schedule import Cosine, Linear, Schedule
from restore.models import native, published
from restore.models.auxiliary import ClassifierRecipe
from restore.models.recipe import Recipe
from restore.samplers import DDIM, Ancestral, RecordedNoise, Sampler
from restore.samplers.ancestral import ancestral_mean
from restore.samplers.interpolation import invert
from restore.schema import parse

pytestmark = pytest.mark.golden
LINEAR, COSINE = Linear().build(), Cosine().build()


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(__file__).resolve().parents[1] / "golden" / "guided_diffusion"


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "facts.json").read_text())


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "golden.safetensors")


@pytest.fixture(scope="module")
def networks(folder: Path, facts: dict[str, Any]) -> dict[str, nn.Module]:
    found = {}
    for name, kind in (("unet_a", Recipe), ("unet_b", Recipe), ("classifier", ClassifierRecipe)):
        model = facts["models"][name]
        told = [f"{k}={json.dumps(v)}" for k, v in model["kwargs"].items() if k.startswith(("num_h", "use_n"))]
        opened = published.open_checkpoint(folder / model["file"], overrides=told)
        recipe = parse(kind, opened.recipe, name)
        found[name] = native.assemble(recipe.network.build, opened.tensors, name).eval().requires_grad_(False)
    return found


def run(sampler: Sampler, denoiser: Denoiser, golden: dict[str, Tensor], table: Schedule, y: Tensor | None) -> Tensor:
    condition = Condition(golden["sample.noises"][0], y)
    with torch.no_grad():
        (last,) = deque(sampler(denoiser, condition, table, RecordedNoise(golden["sample.noises"])), maxlen=1)
    return last.x_t


def no_image(network: nn.Module) -> Callable[..., Tensor]:
    """The samplers' condition has the image's size; these networks see x_t alone."""
    return lambda x_t, value, condition: network(x_t, value, condition.replaced(image=condition.image[:, :0]))


def close(found: Tensor, key: str, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    torch.testing.assert_close(found, golden[key], rtol=0, atol=facts["tolerance"][key])


@pytest.mark.parametrize(
    ("loop", "sampler"),
    [
        ("linear.ancestral10", Ancestral(variance="learned", spacing="10")),
        ("cosine.ancestral10", Ancestral(variance="learned", spacing="10")),
        ("linear.ancestral10.noclip", Ancestral(variance="learned", spacing="10")),
        ("linear.ddim10", DDIM(spacing="ddim10")),
        ("cosine.ddim10", DDIM(spacing="ddim10")),
        ("linear.ddim10.eta0.8", DDIM(spacing="ddim10", eta=0.8)),
    ],
)
def test_loops_with_a_learned_variance(loop: str, sampler: Sampler, networks, golden, facts) -> None:
    core = NetworkDenoiser(no_image(networks["unet_a"]))
    denoiser = core if loop.endswith("noclip") else Clipped(core)
    table = LINEAR if loop.startswith("linear") else COSINE
    close(run(sampler, denoiser, golden, table, golden["sample.y"]), f"unet_a.sample.{loop}", golden, facts)


def test_loops_with_a_fixed_variance(networks, golden, facts) -> None:
    network = no_image(networks["unet_b"])
    small = run(Ancestral(spacing="10"), Clipped(NetworkDenoiser(network)), golden, COSINE, None)
    close(small, "unet_b.sample.cosine.ancestral10.FIXED_SMALL", golden, facts)
    rescaled = Clipped(NetworkDenoiser(network, level_scale=1000 / 500))
    large = run(Ancestral(spacing="10", variance="beta"), rescaled, golden, Cosine(steps=500).build(), None)
    close(large, "unet_b.sample.cosine.ancestral10.FIXED_LARGE.rescaled_T500", golden, facts)


def test_inversion(networks, golden, facts) -> None:
    x0 = golden["unet_b.ddim_reverse.x0"]
    denoiser = NetworkDenoiser(no_image(networks["unet_b"]))
    key = "unet_b.ddim_reverse.ddim10"
    steps = deque(invert(Clipped(denoiser), x0, Condition(x0), LINEAR, DDIM(spacing="ddim10"), beyond=True), maxlen=1)
    close(steps[0].x_t, key, golden, facts)


@pytest.fixture
def gradient(networks) -> ClassifierGradient:
    return ClassifierGradient(networks["classifier"])


def test_one_guided_step(gradient, networks, golden, facts) -> None:
    x, y, scale, index = golden["guide.x"], golden["guide.y"], facts["guide"]["scale"], facts["guide"]["index"]
    levels = LINEAR.steps(None, facts["guide"]["respacing"])
    i = len(levels) - 2 - index
    assert levels[i] - 1 == facts["guide"]["original_timestep"]
    level, condition = LINEAR.level(levels[i], len(x)), Condition(x, y)
    close(gradient(x, level, condition) * scale, "guide.cond_grad", golden, facts)
    core = Clipped(NetworkDenoiser(no_image(networks["unet_a"])))
    step = LINEAR.transitions(levels).at(i)
    with torch.no_grad():
        plain = core(x, level, condition)
        mean = ClassifierGuided(core, gradient, scale, by="mean")(x, level, condition)
        score = ClassifierGuided(core, gradient, scale)(x, level, condition)
    close(ancestral_mean(plain, x, step, "learned"), "guide.step.unguided_mean", golden, facts)
    close(ancestral_mean(mean, x, step, "learned"), "guide.step.condition_mean", golden, facts)
    close(ancestral_mean(score, x, step, "learned"), "guide.step.condition_score.mean", golden, facts)
    close(score.x0, "guide.step.condition_score.pred_xstart", golden, facts)


def test_guided_loops(gradient, networks, golden, facts) -> None:
    core, scale, y = (
        Clipped(NetworkDenoiser(no_image(networks["unet_a"]))),
        facts["guide"]["scale"],
        golden["guide.y"],
    )
    by_mean = ClassifierGuided(core, gradient, scale, by="mean")
    found = run(Ancestral(variance="learned", spacing="10"), by_mean, golden, LINEAR, y)
    close(found, "guide.sample.ancestral10", golden, facts)
    found = run(DDIM(spacing="ddim10"), ClassifierGuided(core, gradient, scale), golden, LINEAR, y)
    close(found, "guide.sample.ddim10", golden, facts)
