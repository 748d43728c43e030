"""Guidance and interpolation with whole models: trained, saved, loaded, used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore.errors import ArrayError, ConfigError
from restore.models.recipe import Recipe
from restore.restoration.guide import classifier_guide, load_classifier
from restore.restoration.interpolate import interpolate
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, Ancestral
from restore.schema import parse
from restore.tasks import Prepared
from restore.training.config import TrainConfig

NETWORK = {"kind": "efficient_unet", "channels": [8, 12], "blocks": [1, 1], "embedding": 16, "context": 8}
CLASSIFIER = {"kind": "classifier", "channels": [8, 12], "blocks": [1, 1], "embedding": 16}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    draws = np.random.default_rng(0)
    for i in range(3):
        small = draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def document(photographs: Path, output: Path, **changes: object) -> dict[str, object]:
    return {
        "model": {
            "name": "tiny",
            "network": NETWORK,
            "schedule": {"kind": "cosine", "steps": 20},
            "tiles": {"size": 32, "overlap": 8, "multiple": 4, "context": 8},
        },
        "data": {"kind": "clean", "folders": [str(photographs)]},
        "output": str(output),
        "stages": [{"until": 2, "patch": 32, "regions": 2, "patches": 2}],
        "region": 48,
        "validation": {"images": 0},
        "optimizer": {"warmup": 0},
        "precision": "fp32",
        **changes,
    }


def trained(config: dict[str, object], steps: int = 2) -> Path:
    from restore.training.trainer import Trainer

    run = parse(TrainConfig, config, "run")
    trainer = Trainer(run, device="cpu")
    assert len(list(trainer)) == steps
    return run.output / "model.safetensors"


def recipe(**changes: object) -> Recipe:
    base = document(Path(), Path())["model"]
    return parse(Recipe, {**base, **changes}, "recipe")  # type: ignore[dict-item]


def restorer(**changes: object) -> Restorer:
    torch.manual_seed(0)
    found = recipe(**changes)
    network = found.network.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Restorer(found, network)


def image(seed: int = 0, size: tuple[int, int] = (40, 36)) -> torch.Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_classifier_is_trained_saved_and_guides(photographs: Path, tmp_path: Path) -> None:
    model = {"kind": "classifier", "name": "tiny-classifier", "network": CLASSIFIER, "level_input": "sqrt_alpha_bar"}
    config = document(photographs, tmp_path / "run", model=model, objective={"kind": "classification"}, label_drop=0)
    gradient = load_classifier(trained(config), "cpu")
    with pytest.raises(ConfigError, match="it guides a model"):
        Restorer.from_pretrained(tmp_path / "run" / "model.safetensors", device="cpu")
    with torch.no_grad():
        gradient.classifier.head.weight.mul_(200)  # two steps of training have taught it little
    plain = restorer(threshold={"kind": "none"})
    sampler = DDIM(steps=3)
    before = plain.batch(Prepared(image()[None]), Settings(sampler=sampler)).mean
    by_score = classifier_guide(gradient, label=6, scale=10.0)
    after = plain.batch(Prepared(image()[None]), Settings(sampler=sampler, guide=by_score)).mean
    assert after.shape == before.shape and (after - before).abs().max() > 1e-4
    by_mean = classifier_guide(gradient, label=6, scale=10.0, by="mean")
    ancestral = Settings(sampler=Ancestral(steps=3), guide=by_mean)
    assert plain.batch(Prepared(image()[None]), ancestral).mean.isfinite().all()
    with pytest.raises(ConfigError, match="needs the ancestral sampler"):
        plain.batch(Prepared(image()[None]), Settings(sampler=sampler, guide=by_mean))


def test_a_model_is_no_classifier(photographs: Path, tmp_path: Path) -> None:
    path = trained(document(photographs, tmp_path / "run"))
    with pytest.raises(ConfigError, match="is no classifier"):
        load_classifier(path, "cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": {"kind": "classification"}}, "belong together"),
        ({"objective": {"kind": "continuous_bound"}}, "schedule of kind learned"),
    ],
)
def test_runs_that_make_no_sense(changes: dict[str, object], said: str, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(TrainConfig, document(photographs, tmp_path, **changes), "run")


def test_what_training_dropped_is_in_the_recipe_and_allows_guidance(photographs: Path, tmp_path: Path) -> None:
    path = trained(document(photographs, tmp_path / "run", label_drop=0.4, image_drop=0.5))
    model = Restorer.from_pretrained(path, device="cpu", dtype=torch.float32)
    assert model.recipe.dropped == ("label", "image")
    sure = restorer(dropped=("label", "image"))
    plain = sure.batch(Prepared(image()[None]), Settings(sampler=DDIM(steps=2)), labels=1).mean
    strong = Settings(sampler=DDIM(steps=2), guidance=2.5)
    guided = sure.batch(Prepared(image()[None]), strong, labels=1).mean
    assert (guided - plain).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="only scale 1 is possible"):
        restorer().batch(Prepared(image()[None]), Settings(guidance=2.5))


def test_a_learned_schedule_is_trained_with_its_model_and_resumed(photographs: Path, tmp_path: Path) -> None:
    from restore.training.trainer import Trainer

    base = document(photographs, tmp_path)["model"]
    learned = {"kind": "learned", "steps": 20, "start": 6.0, "end": -4.0, "hidden": 8}
    network = {**NETWORK, "gated": False}
    model = {**base, "network": network, "schedule": learned, "prediction": "eps", "level_input": "log_snr"}  # type: ignore[dict-item]
    config = document(photographs, tmp_path / "run", model=model, objective={"kind": "continuous_bound"})
    path = trained(config)
    stored = Restorer.from_pretrained(path, device="cpu").recipe.schedule
    assert len(stored.table) == 20
    fresh = parse(TrainConfig, config, "run").model.schedule.build()
    assert abs(stored.table[-1] - fresh.log_snr(20)) > 1e-5
    again = Trainer(parse(TrainConfig, config, "run"), resume=True, device="cpu")
    assert again.step == 2 and again.recipe().schedule.table == pytest.approx(stored.table, rel=1e-12)


def test_a_learned_variance_is_trained_and_sampled(photographs: Path, tmp_path: Path) -> None:
    base = document(photographs, tmp_path)["model"]
    model = {
        **base,  # type: ignore[dict-item]
        "network": {**NETWORK, "learned_variance": True},
        "sampler": {"kind": "ancestral", "steps": 4, "variance": "learned"},
    }
    objective = {"kind": "hybrid", "levels": {"kind": "importance", "keep": 1}}
    path = trained(document(photographs, tmp_path / "run", model=model, objective=objective))
    found = Restorer.from_pretrained(path, device="cpu", dtype=torch.float32).batch(Prepared(image()[None])).mean
    assert found.shape == (1, 3, 40, 36) and bool(found.isfinite().all())


def test_dynamic_thresholds_and_presets_of_samplers() -> None:
    for threshold in ({"kind": "dynamic", "percentile": 0.9}, {"kind": "none"}, {"kind": "static"}):
        model = restorer(threshold=threshold)
        found = model.batch(Prepared(image()[None] * 3)).mean
        assert (found.abs().max() <= 1) == (threshold["kind"] != "none")
    assert restorer().evaluations(30, 30, Settings(steps=5)) == 5


@pytest.mark.parametrize("method", ["inversion", "diffusion"])
def test_interpolation(method) -> None:
    model = restorer()
    frames = list(interpolate(model, image(0), image(1), 3, method=method, steps=4))
    assert len(frames) == 3
    for frame in frames:
        assert frame.shape == (3, 40, 36) and frame.abs().max() <= 1
    assert (frames[0] - frames[2]).abs().max() > 0.1
    # one end is what the model makes of that image alone
    alone = list(interpolate(model, image(0), image(0), 2, method=method, steps=4))
    torch.testing.assert_close(alone[0], frames[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(alone[0], alone[1], rtol=0, atol=1e-4)


def test_interpolation_of_bad_values() -> None:
    model = restorer()
    with pytest.raises(ArrayError, match="one size"):
        next(interpolate(model, image(), image(size=(8, 8)), 3))
    with pytest.raises(ConfigError, match="frames must be at least 2"):
        next(interpolate(model, image(), image(), 1))
    with pytest.raises(ConfigError, match="start must be above 0"):
        next(interpolate(model, image(), image(), 2, method="diffusion", start=0.0))
