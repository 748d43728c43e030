"""Learned variances, bounds and losses against the recorded numbers of guided-diffusion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from restore.contracts import Condition
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.parameterization import Parameterization
from restore.denoisers.threshold import Clipped
from restore.diffusion.likelihood import bits_per_dim, variational_bits
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import Cosine, Linear, Schedule
from restore.diffusion.variance import log_variance
from restore.models import native, published
from restore.models.recipe import Recipe
from restore.schema import parse
from restore.training.objective.hybrid import bound_bits
from restore.training.objective.simple import distance

pytestmark = pytest.mark.golden


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
def network(folder: Path, facts: dict[str, Any]) -> Callable[[str], torch.nn.Module]:
    def build(name: str) -> torch.nn.Module:
        model = facts["models"][name]
        told = [
            f"{key}={json.dumps(value)}" for key, value in model["kwargs"].items() if key.startswith(("num_h", "use_n"))
        ]
        opened = published.open_checkpoint(folder / model["file"], overrides=told)
        recipe = parse(Recipe, opened.recipe, name)
        return native.assemble(recipe.network.build, opened.tensors, name).eval()

    return build


@pytest.fixture(scope="module")
def unet_a(network: Callable[[str], torch.nn.Module]) -> torch.nn.Module:
    return network("unet_a")


@pytest.fixture(scope="module")
def unet_b(network: Callable[[str], torch.nn.Module]) -> torch.nn.Module:
    return network("unet_b")


def schedule(name: str, T: int) -> Schedule:
    return (Linear(steps=T) if name == "linear" else Cosine(steps=T)).build()


def asked(x: Tensor, y: Tensor | None) -> Condition:
    return Condition(x[:, :0], y)


def close(found: Tensor, expected: Tensor, tolerance: Any) -> None:
    """Compare; `tolerance` is one number, or one for each image."""
    allowed = (
        torch.as_tensor(tolerance).reshape(-1, *(1,) * (expected.ndim - 1))
        if isinstance(tolerance, list)
        else tolerance
    )
    error = (found - expected).abs()
    assert bool((error <= allowed).all()), f"error {error.max().item():.2e}"


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("clip", ["clip", "noclip"])
def test_p_mean_variance(name: str, clip: str, unet_a, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    x_t, t, table = golden["pmv.x_t"], golden["pmv.t"] + 1, schedule(name, 1000)
    core = NetworkDenoiser(unet_a)
    with torch.no_grad():
        estimate = (Clipped(core) if clip == "clip" else core)(x_t, table.level(t), asked(x_t, golden["pmv.y"]))
    step = table.transitions().gather(table.T - t, x_t)
    log_var = log_variance(step, "learned", estimate.fraction)
    mean = step.mean_x0 * estimate.x0 + step.mean_xt * x_t
    found = {"pred_xstart": estimate.x0, "log_variance": log_var, "variance": log_var.exp(), "mean": mean}
    prefix = f"unet_a.pmv.{name}.{clip}."
    recorded = {key.removeprefix(prefix) for key in golden if key.startswith(prefix)}
    assert recorded >= ({"pred_xstart", "mean", "log_variance"} if clip == "clip" else {"pred_xstart"})
    for what in recorded:
        key, value = prefix + what, found[what]
        close(value, golden[key], facts["tolerance_per_item"][key])


@pytest.mark.parametrize(("kind", "recorded"), [("beta", "FIXED_LARGE"), ("beta_tilde", "FIXED_SMALL")])
def test_fixed_variances(kind: Any, recorded: str, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    table, t = schedule("cosine", 1000), golden["pmv.t"] + 1
    found = log_variance(table.transitions().gather(table.T - t, golden["pmv.x_t"]), kind).flatten()
    key = f"unet_b.pmv.cosine.{recorded}.log_variance"
    close(found, golden[key], facts["tolerance"][key])


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("clip", ["clip", "noclip"])
def test_terms_of_the_bound(name: str, clip: str, unet_a, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    x0, table, key = golden["loss.x_start"], schedule(name, 1000), f"unet_a.vb_terms.{name}1000.{clip}"
    t = torch.tensor([0, 1, 500, 999]) + 1
    level = table.level(t)
    x_t = noised(x0, golden["loss.noise"], level.alpha_bar)
    core = NetworkDenoiser(unet_a)
    with torch.no_grad():
        estimate = (Clipped(core) if clip == "clip" else core)(x_t, level, asked(x_t, golden["loss.y"]))
    step = table.transitions().gather(table.T - t, x_t)
    close(variational_bits(estimate, x0, x_t, step, "learned"), golden[key], facts["tolerance"][key])


@pytest.mark.parametrize(("name", "T", "spacing"), [("cosine8", 8, None), ("linear1000_respaced8", 1000, "8")])
def test_bits_per_dimension(
    name: str, T: int, spacing: str | None, unet_a, golden: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    table = schedule("cosine" if "cosine" in name else "linear", T)
    levels = table.steps(None, spacing or "trailing")
    assert [level - 1 for level in levels[-2::-1]] == facts["bpd"][name]["timestep_map"]
    x0, y, noises = golden["loss.x_start"][:2], golden["loss.y"][:2], iter(golden["bpd.noises"])
    bits = bits_per_dim(
        Clipped(NetworkDenoiser(unet_a)),
        x0,
        asked(x0, y),
        table,
        lambda like: next(noises),
        levels=levels,
        variance="learned",
    )
    names = {
        "total_bpd": bits.total,
        "prior_bpd": bits.prior,
        "vb": bits.steps,
        "xstart_mse": bits.x0_mse,
        "mse": bits.eps_mse,
    }
    for what, found in names.items():
        key = f"unet_a.bpd.{name}.{what}"
        close(found, golden[key], facts["tolerance"][key])


@pytest.mark.parametrize(
    "run", ["linear1000.MSE", "cosine1000.MSE", "linear100.MSE", "linear100.RESCALED_MSE", "linear100.KL"]
)
def test_training_losses(run: str, unet_a, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    name, T = run.split(".")[0].rstrip("0123456789"), facts["loss"][f"unet_a.loss.{run}"]["T"]
    table = schedule(name, T)
    parameterization, x0 = Parameterization(table, "eps", "t"), golden["loss.x_start"]
    level = table.level(golden[f"unet_a.loss.{run}.t"] + 1)
    condition = asked(x0, golden["loss.y"])
    # the weight that each of theirs gives to the bound, in terms of ours: 0.001 T
    weight = T / 1000 if "RESCALED" in run else 1.0
    unet_a.zero_grad()
    predicted = parameterization.predict(unet_a, x0, condition, level, golden["loss.noise"])
    if run.endswith("KL"):
        with torch.no_grad():
            key, found = (
                f"unet_a.loss.{run}.loss",
                bound_bits(parameterization, predicted, x0, condition, "learned", stop_mean=False),
            )
        close(found, golden[key], facts["tolerance"][key])
        return
    mse = distance(predicted.output, predicted.target, "mse")
    bound = bound_bits(parameterization, predicted, x0, condition, "learned", stop_mean=True) * weight
    for what, found in (("mse", mse), ("vb", bound), ("loss", mse + bound)):
        key = f"unet_a.loss.{run}.{what}"
        close(found.detach(), golden[key], facts["tolerance"][key])
    if "RESCALED" in run:
        (mse + bound).mean().backward()
        parameters = dict(unet_a.named_parameters())
        for ours, theirs in (("head.weight", "out.2.weight"), ("head.bias", "out.2.bias")):
            expected = golden[f"unet_a.loss.grad.{theirs}"]
            torch.testing.assert_close(parameters[ours].grad, expected, rtol=1e-3, atol=1e-5)


def test_losses_of_a_fixed_variance(unet_b, golden: dict[str, Tensor], facts: dict[str, Any]) -> None:
    table = schedule("cosine", 1000)
    level = table.level(golden["unet_b.loss.cosine1000.MSE.t"] + 1)
    x0 = golden["loss.x_start"]
    with torch.no_grad():
        predicted = Parameterization(table, "eps", "t").predict(
            unet_b, x0, asked(x0, None), level, golden["loss.noise"]
        )
    key = "unet_b.loss.cosine1000.MSE.mse"
    close(distance(predicted.output, predicted.target, "mse"), golden[key], facts["tolerance"][key])
