"""The model that ships: file, card and training config say the same, and it does what its card says."""

from __future__ import annotations

import hashlib

import pytest
import torch
from PIL import Image
from skimage import data

from restore import Restorer, checkpoints, resources
from restore.config import load_train_config
from restore.degradations import Haze, Random
from restore.images import to_picture
from restore.metrics import psnr
from restore.restorer import model_card


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    image = Image.fromarray(data.coffee()).resize((300, 200), Image.Resampling.LANCZOS)
    return to_picture(image).pixels


def test_file_card_and_config_agree() -> None:
    card = model_card("weather")
    path = resources.weights_path(card.weights)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    assert path.stat().st_size <= 20e6
    document = checkpoints.read_metadata(path)
    assert document["recipe"] == card.recipe.model_dump(mode="json")
    assert load_train_config("weather").model == card.recipe


def test_haze_is_lifted(clean: torch.Tensor) -> None:
    degraded = Haze()(clean[None] / 2 + 0.5, Random([4]), 0.7) * 2 - 1
    restored = Restorer.from_pretrained(device="cpu").posterior(degraded[0], task="dehaze").mean[None]
    before, after = (float(psnr((x + 1) * 127.5, (clean[None] + 1) * 127.5)) for x in (degraded, restored))
    assert after > before + 3


@pytest.mark.parametrize("task", ["weather", "derain", "desnow"])
def test_a_clean_picture_stays_what_it_is(clean: torch.Tensor, task: str) -> None:
    restored = Restorer.from_pretrained(device="cpu").posterior(clean, task=task).mean[None]
    assert float(psnr((restored + 1) * 127.5, (clean[None] + 1) * 127.5)) > 30
