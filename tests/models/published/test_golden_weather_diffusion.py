"""WeatherDiffusion's own numbers."""

from __future__ import annotations

import torch
from torch import nn

from restore.contracts import Condition
from restore.denoisers.tiles import Tiles
from restore.diffusion.schedule import visited
from restore.models.published.convert import identify, to_original
from restore.models.published.settings import OriginalSettings
from restore.networks.layers import level_features
from restore.restoration import settings as restoration
from restore.samplers import DDIM, RecordedNoise


def load(golden, **options):
    g = golden("weatherdiffusion")
    return g, g.restorer(g.facts["checkpoint"]["file"], preset="published", **options)


def last(steps):
    *_, step = steps
    return step.x_t


def pair(x):
    return x[:, 3:], Condition(x[:, :3])


def test_level_features(golden):
    g = golden("weatherdiffusion")
    found = level_features(g["time_embedding.t"], g.facts["config"]["model"]["ch"], "sin", endpoint=True)
    g.close("time_embedding.out", found)


def test_network(golden, network):
    g = golden("weatherdiffusion")
    path = g.folder / g.facts["checkpoint"]["file"]
    x, condition = pair(g["forward.x"])
    average, report = network(path)
    assert report.parameters == g.facts["checkpoint"]["n_params"]
    assert report.resolution == g.facts["config"]["data"]["image_size"]
    g.close("forward.ema", average(x, g["forward.t"], condition))
    g.close("forward.ema.broadcast", average(x, g["forward.broadcast_t"], condition))
    raw, _ = network(path, None, "weights=raw")
    g.close("forward.raw", raw(x, g["forward.t"], condition))
    exact = average.double()(x.double(), g["forward.t"].double(), condition.to(dtype=torch.float64))
    torch.testing.assert_close(exact, g["forward.ema.f64"], rtol=0, atol=1e-9)


def test_sampling_over_patches(golden):
    g, model = load(golden)
    degraded = g["restore.x_cond"] * 2 - 1
    for prefix, grid, counts in (
        ("restore", g.facts["grid"], list(g.facts["sampling"])),
        ("restore.r_small", g.facts["grid_small"], ["4"]),
    ):
        settings = restoration.Settings(tiles=Tiles(**{**model.recipe.tiles.model_dump(), "stride": grid["r"]}))
        for count in counts:
            name = f"{prefix}.steps{count}.out"
            sampler = DDIM(steps=int(count), spacing="weatherdiffusion")
            noise = RecordedNoise([g["restore.noise"]])
            with torch.no_grad():
                out = last(sampler(model.denoiser(settings), Condition(degraded), model.schedule, noise))
            g.close(name, out)
            if (prefix, count) == ("restore", max(counts, key=int)):
                g.close(f"restore.steps{count}.clamped", ((out + 1) / 2).clamp(0, 1))


def test_visited_steps(golden):
    g = golden("weatherdiffusion")
    for count, facts in g.facts["sampling"].items():
        assert [t - 1 for t in visited(1000, int(count), "weatherdiffusion")[:-1]] == facts["timesteps"]


def test_sampling_without_patches(golden):
    g, model = load(golden)
    condition = Condition(g["patches.x_cond_pm1"])
    core = model.parameterization.denoiser(model.network)
    with torch.no_grad():
        for count in g.facts["sampling"]:
            sampler = DDIM(steps=int(count), spacing="weatherdiffusion")
            out = last(sampler(core, condition, model.schedule, RecordedNoise([g["patches.noise"]])))
            g.close(f"patches.steps{count}.out", out)
        draws = g["patches.eta0.7.noises"]
        sampler = DDIM(steps=len(draws), eta=0.7, spacing="weatherdiffusion")
        out = last(sampler(core, condition, model.schedule, RecordedNoise([g["patches.noise"], *draws])))
    g.close("patches.eta0.7.out", out)


def test_loss(golden, network):
    g = golden("weatherdiffusion")
    for weights in ("ema", "raw"):
        restorer = g.restorer(g.facts["checkpoint"]["file"], None, f"weights={weights}")
        images, problem = g["loss.x0_cond_gt_pm1"], restorer.parameterization
        level = problem.schedule.level(g["loss.t"] + 1)
        with torch.no_grad():
            answer = problem.predict(restorer.network, images[:, 3:], Condition(images[:, :3]), level, g["loss.e"])
        g.close(f"loss.{weights}", (answer.output - answer.eps).square().sum((1, 2, 3)).mean())


def test_gradients_of_the_last_step(golden):
    """Fine-tuning goes on where the original's training was."""
    g = golden("weatherdiffusion")
    path = g.folder / g.facts["checkpoint"]["file"]
    restorer = g.restorer(g.facts["checkpoint"]["file"], None, "weights=raw")
    model: nn.Module = restorer.network.requires_grad_(True)
    images, problem = g["loss.x0_cond_gt_pm1"], restorer.parameterization
    level = problem.schedule.level(g["loss.t"] + 1)
    answer = problem.predict(model, images[:, 3:], Condition(images[:, :3]), level, g["loss.e"])
    loss = (answer.output - answer.eps).square().sum((1, 2, 3)).mean()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    from restore.models.published.pickles import load_pickle

    found = identify(load_pickle(path)["ema_helper"], OriginalSettings())
    theirs = to_original(found, gradients)
    names = [name for name in g.numbers if name.startswith("resume.grad.")]
    assert names
    for name in names:
        g.close(name, theirs[name.removeprefix("resume.grad.")])
