"""guided-diffusion's own numbers: two models, an up-sampler, a classifier."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F

from restore.contracts import Condition, Estimate
from restore.denoisers.guidance import ClassifierGradient, ClassifierGuided
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.threshold import NoThreshold, Static
from restore.diffusion.likelihood import bits_per_dim, variational_bits
from restore.diffusion.parameterization import noised, to_eps
from restore.diffusion.schedule import visited
from restore.diffusion.update import ddim_update
from restore.diffusion.variance import log_variance
from restore.errors import CheckpointError, ConfigError
from restore.models.published.convert import identify, to_original
from restore.models.published.pickles import load_pickle
from restore.models.published.settings import OriginalSettings, read_config
from restore.networks.layers import level_features
from restore.samplers import DDIM, Ancestral, RecordedNoise
from restore.samplers.ancestral import ancestral_mean

VARIANCES = {"FIXED_SMALL": "beta_tilde", "FIXED_LARGE": "beta"}


class Models:
    """The recorded models, each opened by the flags of the original."""

    def __init__(self, golden, network) -> None:
        self.g, self.load = golden("guided_diffusion"), network

    def path(self, name):
        return self.g.folder / self.g.facts["models"][name]["file"]

    def restorer(self, name, schedule="linear", steps=1000, **options):
        overrides = [f"noise_schedule={schedule}", f"diffusion_steps={steps}"]
        overrides += [f"{key}={value}" for key, value in options.items()]
        model = self.g.facts["models"][name]
        return self.g.restorer(model["file"], model["kwargs"], *overrides)

    def network(self, name):
        return self.load(self.path(name), self.g.config(self.g.facts["models"][name]["kwargs"]))

    def denoiser(self, restorer, clip=True):
        return (Static() if clip else NoThreshold()).around(restorer.parameterization.denoiser(restorer.network))


@pytest.fixture
def models(golden, network):
    return Models(golden, network)


def enlarged(low, x):
    return F.interpolate(low, x.shape[-2:], mode="bilinear", align_corners=False)


def last(steps):
    *_, step = steps
    return step.x_t


def test_level_features(golden):
    g = golden("guided_diffusion")
    for name in ("embedding.out", "embedding.out_dim7"):
        g.close(name, level_features(g["embedding.t"], g[name].shape[1], "cos", endpoint=False))


@pytest.mark.parametrize("name", ["unet_a", "unet_b", "superres", "classifier"])
def test_network(models, name):
    g, facts = models.g, models.g.facts["models"][name]
    model, report = models.network(name)
    assert report.parameters == facts["n_params"]
    x, y = g["forward.x"], g["forward.y"]
    condition = Condition(x, y)
    if name == "superres":
        condition = Condition(enlarged(g["forward.low_res"], x), g["forward.y_superres"])
    g.close(f"{name}.forward", model(x, g["forward.t"], condition))
    if name == "unet_a":
        g.close("unet_a.forward_fractional_t", model(x, g["forward.t_fractional"], condition))
    if name != "superres":
        exact = model.double()(x.double(), g["forward.t"].double(), condition.to(dtype=torch.float64))
        torch.testing.assert_close(exact, g[f"{name}.forward.f64"], rtol=0, atol=3e-5)


def test_respacing(golden):
    g = golden("guided_diffusion")
    for T, spacing, expected in g.facts["space_timesteps"]:
        assert [t - 1 for t in visited(T, None, spacing)[-2::-1]] == expected, (T, spacing)
    for T, spacing, problem, *_ in g.facts["space_timesteps_errors"]:
        if problem != "no error":
            with pytest.raises(ConfigError):
                visited(T, None, spacing)


def loops():
    return [
        "unet_a.sample.linear.ancestral10",
        "unet_a.sample.linear.ddim10",
        "unet_a.sample.cosine.ancestral10",
        "unet_a.sample.cosine.ddim10",
        "unet_a.sample.linear.ddim10.eta0.8",
        "unet_a.sample.linear.ancestral10.noclip",
        "unet_b.sample.cosine.ancestral10.FIXED_SMALL",
        "unet_b.sample.cosine.ancestral10.FIXED_LARGE.rescaled_T500",
        "superres.sample.linear.ancestral5",
    ]


def test_every_recorded_loop_is_tested(golden):
    assert set(loops()) == set(golden("guided_diffusion").facts["sample"]["loops"])


@pytest.mark.parametrize("loop", loops())
def test_sampling(models, loop):
    g, facts = models.g, models.g.facts["sample"]["loops"][loop]
    name, _, schedule, kind, *rest = loop.split(".")
    rescaled = re.search(r"rescaled_T(\d+)", loop)
    options = {"steps": int(rescaled[1]), "rescale_timesteps": True} if rescaled else {}
    restorer = models.restorer(name, schedule, **options)
    spacing = re.sub(r"^ancestral", "", kind)
    variance = next((VARIANCES[part] for part in rest if part in VARIANCES), "learned")
    noises = g["sample.noises"]
    condition = Condition(torch.zeros_like(noises[0]), g["sample.y"])
    if name == "superres":
        condition = Condition(enlarged(g["superres.sample.low_res"], noises[0]), g["superres.sample.y"])
    denoiser = models.denoiser(restorer, facts.get("clip_denoised", True))
    sampler = Ancestral(spacing=spacing, variance=variance)
    draws = [*noises]
    if kind.startswith("ddim"):
        sampler = DDIM(spacing=spacing, eta=facts.get("eta", 0.0))
    assert [t - 1 for t in sampler.levels(restorer.schedule)[-2::-1]] == facts["timestep_map"]
    with torch.no_grad():
        g.close(loop, last(sampler(denoiser, condition, restorer.schedule, RecordedNoise(draws))))


@pytest.mark.parametrize(("name", "schedule"), [("unet_a", "linear"), ("unet_a", "cosine"), ("unet_b", "cosine")])
def test_mean_and_variance(models, name, schedule):
    g = models.g
    restorer = models.restorer(name, schedule)
    x_t, condition = g["pmv.x_t"], Condition(g["pmv.x_t"], g["pmv.y"])
    level = restorer.schedule.level(g["pmv.t"] + 1)
    steps = restorer.schedule.transitions().gather(restorer.schedule.T - level.t, x_t)
    for way, clip in (("clip.", True), ("noclip.", False)) if name == "unet_a" else (("", True),):
        prefix = f"{name}.pmv.{schedule}.{way}"
        with torch.no_grad():
            estimate = models.denoiser(restorer, clip)(x_t, level, condition)
        g.close(f"{prefix}pred_xstart", estimate.x0)
        if clip:
            g.close(f"{prefix}mean", steps.mean_x0 * estimate.x0 + steps.mean_xt * x_t)
        if clip and name == "unet_a":
            g.close(f"{prefix}log_variance", log_variance(steps, "learned", estimate.fraction))
    for word, kind in VARIANCES.items() if name == "unet_b" else ():
        g.close(f"unet_b.pmv.{schedule}.{word}.log_variance", log_variance(steps, kind).flatten())


def test_a_network_that_predicts_the_image(models):
    g = models.g
    restorer = models.restorer("unet_b", "linear", predict_xstart=True)
    assert restorer.recipe.prediction == "x0"
    level = restorer.schedule.level(g["pmv.t"] + 1)
    with torch.no_grad():
        estimate = models.denoiser(restorer)(g["pmv.x_t"], level, Condition(g["pmv.x_t"]))
    g.close("unet_b.pmv.linear.START_X.pred_xstart", estimate.x0)


def test_inversion(models):
    """DDIM upwards: from an image to the noise that gives it back; the last step leads to alpha_bar = 0."""
    g, restorer = models.g, models.restorer("unet_b", "linear")
    denoiser, alpha_bar = models.denoiser(restorer), restorer.schedule.alpha_bar
    names = [name for name in g.numbers if name.startswith("unet_b.ddim_reverse.ddim")]
    assert names
    for name in names:
        x = g["unet_b.ddim_reverse.x0"]
        upwards = visited(restorer.schedule.T, None, name.rsplit(".", 1)[1])[-2::-1]
        above = [*(float(alpha_bar[t]) for t in upwards[1:]), 0.0]
        with torch.no_grad():
            for t, next_alpha_bar in zip(upwards, above, strict=True):
                x0 = denoiser(x, restorer.schedule.level(t, len(x)), Condition(x)).x0
                x = ddim_update(x, x0, float(alpha_bar[t]), next_alpha_bar)
        g.close(name, x)


@pytest.mark.parametrize("loss", ["linear1000.MSE", "cosine1000.MSE", "linear100.MSE", "linear100.RESCALED_MSE",
                                  "linear100.KL", "linear100.RESCALED_KL"])  # fmt: skip
def test_losses(models, loss):
    g, full = models.g, f"unet_a.loss.{loss}"
    named, kind = loss.split(".")
    schedule, T = re.match(r"([a-z]+)(\d+)", named).groups()
    restorer = models.restorer("unet_a", schedule, int(T))
    problem, level = restorer.parameterization, restorer.schedule.level(g[f"{full}.t"] + 1)
    x0, eps, condition = g["loss.x_start"], g["loss.noise"], Condition(g["loss.x_start"], g["loss.y"])
    with torch.no_grad():
        answer = problem.predict(restorer.network, x0, condition, level, eps)
        step = restorer.schedule.transitions().gather(restorer.schedule.T - level.t, x0)
        estimate = Estimate(problem.x0(answer, condition), answer.fraction)
        bits = variational_bits(estimate, x0, answer.x_t, step, "learned")
    error = (answer.output - answer.target).square().flatten(1).mean(1)
    factor = int(T) if kind == "RESCALED_KL" else int(T) / 1000 if kind == "RESCALED_MSE" else 1
    if kind.endswith("KL"):
        g.close(f"{full}.loss", bits * factor)
        return
    g.close(f"{full}.mse", error)
    g.close(f"{full}.vb", bits * factor)
    g.close(f"{full}.loss", error + bits * factor)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_terms_of_the_bound(models, schedule):
    g, restorer = models.g, models.restorer("unet_a", schedule)
    x0, condition = g["loss.x_start"], Condition(g["loss.x_start"], g["loss.y"])
    level = restorer.schedule.level(torch.tensor([0, 1, 500, 999]) + 1)
    x_t = noised(x0, g["loss.noise"], level.alpha_bar)
    step = restorer.schedule.transitions().gather(restorer.schedule.T - level.t, x0)
    for way, clip in (("clip", True), ("noclip", False)):
        with torch.no_grad():
            estimate = models.denoiser(restorer, clip)(x_t, level, condition)
            bits = variational_bits(estimate, x0, x_t, step, "learned")
        g.close(f"unet_a.vb_terms.{schedule}1000.{way}", bits)


@pytest.mark.parametrize("name", ["cosine8", "linear1000_respaced8"])
def test_bits_per_dimension(models, name):
    g = models.g
    schedule, T, respaced = re.match(r"([a-z]+)(\d+)(?:_respaced(\d+))?", name).groups()
    restorer = models.restorer("unet_a", schedule, int(T))
    x0, condition = g["loss.x_start"][:2], Condition(g["loss.x_start"][:2], g["loss.y"][:2])
    levels = visited(restorer.schedule.T, None, respaced) if respaced else None
    bits = bits_per_dim(
        models.denoiser(restorer), x0, condition, restorer.schedule, RecordedNoise(g["bpd.noises"]).draw,
        levels=levels, variance="learned",
    )  # fmt: skip
    found = {
        "total_bpd": bits.total,
        "prior_bpd": bits.prior,
        "vb": bits.steps,
        "xstart_mse": bits.x0_mse,
        "mse": bits.eps_mse,
    }
    for key, value in found.items():
        g.close(f"unet_a.bpd.{name}.{key}", value)


def test_guidance(models):
    g, facts = models.g, models.g.facts["guide"]
    classifier, _ = models.network("classifier")
    restorer = models.restorer("unet_a", "linear")
    gradient, core = ClassifierGradient(classifier), models.denoiser(restorer)
    x, condition = g["guide.x"], Condition(g["guide.x"], g["guide.y"])
    levels = visited(1000, None, facts["respacing"])
    index = len(levels) - 2 - facts["index"]
    assert levels[index] - 1 == facts["original_timestep"]
    level = restorer.schedule.level(levels[index], len(x))
    g.close("guide.cond_grad", gradient(x, level, condition) * facts["scale"])
    step = restorer.schedule.transitions(levels).at(index)
    with torch.no_grad():
        plain = core(x, level, condition)
        g.close("guide.step.unguided_mean", ancestral_mean(plain, x.clone(), step, "learned"))
        by_mean = ClassifierGuided(core, gradient, facts["scale"], by="mean")
        shifted = by_mean(x, level, condition)
        g.close("guide.step.condition_mean", ancestral_mean(shifted, x.clone(), step, "learned"))
        by_score = ClassifierGuided(core, gradient, facts["scale"], by="score")
        g.close("guide.step.condition_score.pred_xstart", by_score(x, level, condition).x0)
        for denoiser, sampler, name in (
            (by_mean, Ancestral(spacing="10", variance="learned"), "ancestral10"),
            (by_score, DDIM(spacing="ddim10"), "ddim10"),
        ):
            noise = RecordedNoise(g["sample.noises"])
            g.close(f"guide.sample.{name}", last(sampler(denoiser, condition, restorer.schedule, noise)))


def test_gradients(models):
    """Fine-tuning: the gradients of the hybrid loss at a short schedule are the original's."""
    g = models.g
    restorer = models.restorer("unet_a", "linear", 100)
    model, problem = restorer.network.requires_grad_(True), restorer.parameterization
    x0, condition = g["loss.x_start"], Condition(g["loss.x_start"], g["loss.y"])
    level = restorer.schedule.level(g["unet_a.loss.linear100.RESCALED_MSE.t"] + 1)
    answer = problem.predict(model, x0, condition, level, g["loss.noise"])
    estimate = Estimate(problem.x0(answer, condition).detach(), answer.fraction)
    step = restorer.schedule.transitions().gather(restorer.schedule.T - level.t, x0)
    bits = variational_bits(estimate, x0, answer.x_t, step, "learned")
    error = (answer.output - answer.target).square().flatten(1).mean(1)
    (error + bits * 100 / 1000).mean().backward()
    settings = OriginalSettings((), read_config(g.config(g.facts["models"]["unet_a"]["kwargs"])))
    found = identify(load_pickle(models.path("unet_a")), settings)
    theirs = to_original(found, {name: p.grad for name, p in model.named_parameters()})
    theirs["label_emb.weight_row_y1"] = theirs["label_emb.weight"][1]
    names = [name for name in g.numbers if name.startswith("unet_a.loss.grad.")]
    assert names
    for name in names:
        g.close(name, theirs[name.removeprefix("unet_a.loss.grad.")])


def test_a_config_of_a_classifier_and_of_the_model_that_it_guides(models):
    """The flags of sampling with guidance are one list: the model's say nothing of the classifier."""
    g, kwargs = models.g, {"num_res_blocks": 3, "num_head_channels": -1, "num_heads": 4, "resblock_updown": False}
    flags = {**kwargs, "use_new_attention_order": True, "classifier_depth": 1, "classifier_resblock_updown": True}
    model, report = models.load(models.path("classifier"), g.config({**flags, "class_cond": True}))
    alone, _ = models.load(models.path("classifier"), None, "num_head_channels=64")
    assert model.spec == alone.spec and model.spec.blocks == 1
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in model.state_dict().items())
    assert "use_new_attention_order is the model's" in report.summary()
    with pytest.raises(CheckpointError, match="classifier_depth is 2"):
        models.load(models.path("classifier"), g.config({**flags, "num_res_blocks": 1, "classifier_depth": 2}))


def test_either_order_of_queries_keys_and_values(models):
    """The recorded models have one each; told the other, they give other numbers."""
    g = models.g
    for name, new in (("unet_a", True), ("unet_b", False)):
        kwargs = {**g.facts["models"][name]["kwargs"], "use_new_attention_order": new}
        model, _ = models.load(models.path(name), g.config(kwargs))
        out = model(g["forward.x"], g["forward.t"], Condition(g["forward.x"], g["forward.y"]))
        assert float((out - g[f"{name}.forward"]).abs().max()) > 1000 * g.tolerance(f"{name}.forward")


def test_the_denoiser_knows_both_halves_of_the_output(models):
    g = models.g
    model, _ = models.network("unet_a")
    restorer = models.restorer("unet_a")
    level = restorer.schedule.level(g["forward.t"] + 1)
    condition = Condition(g["forward.x"], g["forward.y"])
    estimate = NetworkDenoiser(model)(g["forward.x"], level, condition)
    eps = to_eps(estimate.x0, g["forward.x"], level.alpha_bar)
    assert estimate.fraction is not None and math.isfinite(float(estimate.fraction.sum()))
    noisy = g["forward.t"] > 100  # near the clean end the noise cannot be told from x0
    torch.testing.assert_close(eps[noisy], g["unet_a.forward"][noisy, :3], rtol=0, atol=1e-3)
