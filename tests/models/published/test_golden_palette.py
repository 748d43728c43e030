"""Palette's own numbers, with both of its U-Nets."""

from __future__ import annotations

import pytest
import torch

from restore.contracts import Condition, Level
from restore.denoisers.masked import Masked
from restore.diffusion.parameterization import noised
from restore.networks.layers import level_features
from restore.restoration.restorer import Restorer
from restore.samplers import RecordedNoise
from restore.training.objective.levels import between

MODULES = {"guided": "guided_diffusion", "sr3": "sr3"}


class Module:
    """One of the two, opened by the original's config."""

    def __init__(self, golden, prefix: str) -> None:
        self.g, self.prefix = golden("palette"), prefix
        self.facts = self.g.facts["modules"][MODULES[prefix]]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.g[f"{self.prefix}.{name}"]

    def close(self, name: str, actual: torch.Tensor) -> None:
        self.g.close(f"{self.prefix}.{name}", actual)

    def restorer(self, weights: str) -> Restorer:
        (file,) = [name for name in self.facts["files"] if name.endswith("_Network.pth")]
        overrides = ["weights=raw"] if weights == "net" else []
        config = self.facts["config"]
        return self.g.restorer(f"{MODULES[self.prefix]}/{file}", config, *overrides, preset="published")


@pytest.fixture(params=list(MODULES))
def module(golden, request):
    return Module(golden, request.param)


def test_level_features(module):
    width = module.facts["config"]["unet"]["inner_channel"]
    first = "cos" if module.prefix == "guided" else "sin"
    module.close("embedding.out", level_features(module["embedding.gammas"], width, first, endpoint=False))


def test_network(module):
    images, gammas = module["forward.x_cond_then_noisy"], module["forward.gammas"].flatten()
    x, condition = images[:, 3:], Condition(images[:, :3])
    for weights in ("net", "ema"):
        restorer = module.restorer(weights)
        assert sum(p.numel() for p in restorer.network.parameters()) == module.facts["n_params"]
        with torch.no_grad():
            module.close(f"forward.{weights}", restorer.network(x, gammas, condition))
            if weights == "net":
                exact = restorer.network.double()(x.double(), gammas.double(), condition.to(dtype=torch.float64))
                torch.testing.assert_close(exact, module["forward.net.f64"], rtol=0, atol=1e-7)


def test_schedules(module):
    restorer = module.restorer("net")
    module.close("test_schedule.gammas", restorer.schedule.alpha_bar[1:].float())
    steps = restorer.schedule.transitions()
    module.close("test_schedule.posterior_mean_coef1", steps.mean_x0.flip(0).float())
    module.close("test_schedule.posterior_mean_coef2", steps.mean_xt.flip(0).float())
    assert module.facts["config"]["beta_schedule"]["train"]["n_timestep"] == restorer.parameterization.schedule.T


@pytest.mark.parametrize("weights", ["net", "ema"])
def test_inpainting(module, weights):
    """The start is the condition itself, and the known pixels are pasted after each step."""
    restorer = module.restorer(weights)
    degraded, hole = module["inpaint.y_cond"], module["inpaint.mask"]
    denoiser = Masked(restorer.denoiser(), module["inpaint.y_0"], hole)
    noise = RecordedNoise([degraded, *module["inpaint.noises"]])
    with torch.no_grad():
        steps = list(restorer.recipe.sampler(denoiser, Condition(degraded), restorer.schedule, noise))
    module.close(f"inpaint.out.{weights}", steps[-1].x_t)
    if weights == "net":
        before = module["inpaint.first_step_before_mask"]
        where = (hole > 0).expand_as(before)
        tolerance = module.g.tolerance(f"{module.prefix}.inpaint.first_step_before_mask")
        torch.testing.assert_close(steps[0].x_t[where], before[where], rtol=0, atol=tolerance)


def test_colorization(module):
    restorer = module.restorer("net")
    noise = RecordedNoise(module["color.noises"])
    with torch.no_grad():
        *_, step = restorer.recipe.sampler(
            restorer.denoiser(), Condition(module["color.y_cond"]), restorer.schedule, noise
        )
    module.close("color.out", step.x_t)


def test_loss(module):
    """The level lies between two of the training schedule; the network sees known pixels without noise."""
    restorer = module.restorer("net")
    problem, hole = restorer.parameterization, module["loss.mask"].float()
    # the original counts its table from 0 and draws t of 1 ..: level t of theirs is t + 1 of ours
    level = between(problem.schedule, module["loss.t"] + 1, 1 - module["loss.u"].flatten(), "alpha_bar")
    expected = module["loss.sample_gammas"].flatten()
    torch.testing.assert_close(level.alpha_bar.float(), expected, rtol=2e-6, atol=0)
    level = Level(level.t, expected.double())
    x0, eps, condition = module["loss.y_0"], module["loss.noise"], Condition(module["loss.y_cond"])
    x_t = noised(x0, eps, level.alpha_bar)
    with torch.no_grad():
        masked = x_t * hole + (1 - hole) * x0
        module.close("loss.net_input_masked", masked)
        output = restorer.network(masked, problem.value(level), condition)
        module.close("loss.masked", ((output - eps) * hole).square().mean())
        output = restorer.network(x_t, problem.value(level), condition)
        module.close("loss.unmasked", (output - eps).square().mean())
