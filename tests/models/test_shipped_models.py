"""All models that ship: files, cards and training configs say the same, and each does what it is for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from restore import Restorer
from restore.degradations import JPEG, Random
from restore.degradations.resolution import enlarge_by, shrink_by
from restore.evaluation.metrics import psnr
from restore.images import to_photo
from restore.models import native
from restore.models.find import model_card
from restore.restoration.settings import Settings
from restore.schema import parse
from restore.system import resources
from restore.tasks import Request
from restore.training.config import load_train_config

SHIPPED = resources.list_weights()


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    """A photograph that no model was trained on, (1, 3, 192, 288) in [0, 1]."""
    image = Image.fromarray(data.coffee()).resize((288, 192), Image.Resampling.LANCZOS)
    return to_photo(image).pixels[None] / 2 + 0.5


def restored(name: str, degraded: torch.Tensor, request: Request = Request()) -> torch.Tensor:
    return (
        Restorer.from_pretrained(name, device="cpu")
        .posterior(degraded[0] * 2 - 1, Settings(request=request))
        .mean[None]
        / 2
        + 0.5
    )


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(psnr(a.clamp(0, 1) * 255, b * 255))


@pytest.mark.parametrize("name", SHIPPED)
def test_file_card_and_config_agree(name: str) -> None:
    card, path = model_card(name), resources.weights_path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    stored = native.read_metadata(path)["recipe"]
    assert parse(type(card.recipe), stored, str(path)) == card.recipe  # with what fields that came later are by default
    config = load_train_config(name)
    assert config.trained == card.recipe
    assert native.read_metadata(path)["training"]["step"] == config.steps
    assert card.recipe.name == name and card.limits and card.licence


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"detector"}))
def test_a_card_shows_what_the_model_is_bad_at(name: str) -> None:
    with Image.open(Path(__file__).parents[2] / model_card(name).image) as image:
        assert image.width > 500


def test_two_cards_tell_the_same_of_one_measurement() -> None:
    told: dict[tuple[str, ...], tuple[float, float]] = {}
    for name in SHIPPED:
        for score in model_card(name).scores:
            found = score.before, score.after
            assert told.setdefault((score.data, score.task, score.metric, score.command), found) == found, name


def test_the_weights_are_small() -> None:
    sizes = [Path(resources.weights_path(name)).stat().st_size for name in SHIPPED]
    assert max(sizes) <= 20e6 and sum(sizes) <= 60e6


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_is_better_than_bicubic(clean: torch.Tensor, scale: int) -> None:
    small = shrink_by(clean, scale).clamp(0, 1)
    plain = enlarge_by(small, scale)
    assert decibels(restored(f"upscale_x{scale}", small), clean) > decibels(plain, clean) + 0.3


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 6)], ids=["file", "cropped"])
def test_jpeg_blocks_are_smoothed(clean: torch.Tensor, top: int, left: int) -> None:
    degraded = JPEG(quality=(15, 15))(clean, Random([0]))
    degraded, clean = (x[..., top:, left:].contiguous() for x in (degraded, clean))
    assert decibels(restored("jpeg", degraded), clean) > decibels(degraded, clean) + 0.6


def test_a_mirrored_file_has_its_blocks_elsewhere(clean: torch.Tensor) -> None:
    degraded = JPEG(quality=(15, 15))(clean, Random([0]))[..., :283].contiguous()
    clean = clean[..., :283]
    model = Restorer.from_pretrained("jpeg", "cpu")
    once, twice = (model.posterior(degraded[0] * 2 - 1, Settings(self_ensemble=n)).mean[None] / 2 + 0.5 for n in (1, 2))
    assert decibels(twice, clean) > decibels(once, clean)


def test_a_hole_is_filled_and_the_rest_kept(clean: torch.Tensor) -> None:
    hole = torch.zeros(1, 192, 288)
    hole[:, 60:100, 90:150] = 1
    holed = torch.where(hole.bool(), torch.ones(()), clean)
    filled = restored("inpaint", holed, Request(mask=hole))
    assert torch.equal(torch.where(hole.bool(), 0, filled), torch.where(hole.bool(), 0, clean))
    inside = hole.bool().expand(3, -1, -1)
    assert (filled[0][inside] - clean[0][inside]).square().mean() < (0.5 - clean[0][inside]).square().mean()


def test_colours_come_near_those_of_the_image(clean: torch.Tensor) -> None:
    gray = (clean * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert decibels(restored("colorize", gray), clean) > decibels(gray, clean)


def test_an_image_goes_on_beyond_its_border(clean: torch.Tensor) -> None:
    inner = clean[..., 32:-32].contiguous()
    model, request = Restorer.from_pretrained("inpaint", device="cpu"), Request(pad=(32, 0, 32, 0))
    whole = model.posterior(inner[0] * 2 - 1, Settings(task="uncrop", request=request)).mean[None] / 2 + 0.5
    assert whole.shape == clean.shape and torch.allclose(whole[..., 32:-32], inner, atol=1e-6)
    sides = torch.cat([whole[..., :32], whole[..., -32:]], -1), torch.cat([clean[..., :32], clean[..., -32:]], -1)
    assert (sides[0] - sides[1]).square().mean() < (0.5 - sides[1]).square().mean()
