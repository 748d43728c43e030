"""Training goes on from a file of an original."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from restore.models.find import model_card
from restore.models.published import convert, open_checkpoint
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.schema import parse
from restore.training.config import TrainConfig, load_train_config
from restore.training.trainer import Trainer


def pairs(folder):
    draws = np.random.default_rng(0)
    for side in ("degraded", "clean"):
        (folder / side).mkdir()
        for i in range(2):
            image = draws.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / side / f"{i}.png")
    return {"kind": "pairs", "input": str(folder / "degraded"), "target": str(folder / "clean")}


def test_it_starts_from_the_weights_of_the_file(golden, tmp_path):
    g = golden("weatherdiffusion")
    source, start = g.folder / g.facts["checkpoint"]["file"], tmp_path / "start.safetensors"
    convert(source, start)
    opened = open_checkpoint(start)
    document = {
        "model": parse(Recipe, opened.recipe, "recipe").model_dump(mode="json"),
        "data": pairs(tmp_path),
        "output": str(tmp_path / "run"),
        "start_from": str(start),
        "stages": [{"until": 2, "patch": 16, "regions": 1, "patches": 2}],
        "objective": {"kind": "simple", "norm": "mse", "levels": {"kind": "antithetic"}},
        "optimizer": {"name": "adam", "rate": 2e-5, "warmup": 0, "weight_decay": 0.0},
        "region": 16,
        "precision": "fp32",
        "validation": {"images": 0},
        "save_every": 1000,
    }
    trainer = Trainer(parse(TrainConfig, document, "run"), device="cpu")
    # bfloat16 is enough to tell these weights from fresh ones
    for name, value in trainer.network.state_dict().items():
        torch.testing.assert_close(value.cpu(), opened.tensors[name], rtol=2e-2, atol=1e-3)
    losses = [progress.loss for progress in trainer]
    assert len(losses) == 2 and all(np.isfinite(losses))
    tuned = Restorer.from_pretrained(next((tmp_path / "run").glob("*.safetensors")), "cpu", torch.float32)
    assert tuned.recipe.network == parse(Recipe, opened.recipe, "recipe").network
    moved = {
        name: float((value - opened.tensors[name]).abs().max()) for name, value in tuned.network.state_dict().items()
    }
    assert 0 < max(moved.values()) < 1e-1


def test_the_shipped_run_trains_the_published_network():
    config, card = load_train_config("weatherdiff64"), model_card("weatherdiff64").recipe
    assert isinstance(card, Recipe)
    assert config.model.network == card.network
    assert config.model.schedule == card.schedule
    assert (config.model.prediction, config.model.level_input) == (card.prediction, card.level_input)
