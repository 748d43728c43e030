"""A codec between pixels and states: an exact one changes nothing but where the network works."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.denoisers.latent import decoded, encoded, shrunk_mask
from restore.denoisers.tiles import Tiles
from restore.models.recipe import Recipe
from restore.networks import EfficientUNetSpec
from restore.networks.codec import Identity
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM
from restore.schema import Spec
from restore.tasks import Inpainting, Request, Task
from restore.training.batches import Batches
from restore.training.config import TrainConfig
from restore.training.trainer import Trainer


class Unshuffled(Spec):
    """Pixels of a 2x2 square as channels: nothing is lost."""

    kind: str = "unshuffled"
    state_channels: int = 12
    factor: int = 2
    bounded: bool = True

    def build(self) -> Unshuffled:
        return self

    def encode(self, image: Tensor) -> Tensor:
        return F.pixel_unshuffle(image, 2)

    def decode(self, state: Tensor) -> Tensor:
        return F.pixel_shuffle(state, 2)


def recipe(task: Task | None = None, prediction: str = "residual") -> Recipe:
    channels = 12 if task is None else 13
    network = EfficientUNetSpec(
        channels=(8, 16),
        blocks=(1, 1),
        embedding=16,
        context=8,
        stem=1,
        state_channels=12,
        condition_channels=channels,
        gain=False,
    )
    tiles = Tiles(size=32, overlap=8, batch=3, multiple=2, context=16)
    made = Recipe(name="tiny").model_copy(update={"network": network, "tiles": tiles, "codec": Unshuffled()})
    changes = {"prediction": prediction, **({} if task is None else {"task": task, "tasks": {"inpaint": "unknown"}})}
    return made.model_copy(update=changes)


@pytest.mark.parametrize("size", [(40, 56), (41, 57), (2, 3), (1, 1)])
def test_images_of_any_size_are_states_and_back(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    for codec in (Identity(), Unshuffled()):
        assert torch.equal(decoded(codec, encoded(codec, image), image), image)


def test_what_marks_a_pixel_marks_the_element_that_holds_it() -> None:
    mask = torch.zeros(1, 1, 5, 7)
    mask[0, 0, 4, 6] = mask[0, 0, 1, 2] = 1
    small = shrunk_mask(mask, torch.zeros(1, 12, 3, 4))
    assert small.shape == (1, 1, 3, 4) and small.nonzero()[:, 2:].tolist() == [[0, 1], [2, 3]]
    assert shrunk_mask(mask, mask) is mask


def test_a_fresh_network_gives_back_the_image_through_the_codec() -> None:
    own = recipe()
    restorer = Restorer(own, own.network.build())
    image = torch.rand(3, 75, 61) * 2 - 1
    for settings in (Settings(), Settings(sampler=DDIM(steps=3)), Settings(self_ensemble=2)):
        torch.testing.assert_close(restorer.posterior(image, settings).mean, image, rtol=0, atol=1e-5)


def test_known_pixels_stay_where_states_hold_them() -> None:
    own = recipe(Inpainting())
    torch.manual_seed(0)
    network = own.network.build()
    with torch.no_grad():
        network.head.weight.normal_(std=0.1)
    image, mask = torch.rand(3, 40, 40) * 2 - 1, torch.zeros(1, 40, 40)
    mask[:, 10:20, 12:30] = 1
    mean = Restorer(own, network).posterior(image, Settings(request=Request(mask=mask))).mean
    kept = mask[0] == 0
    assert torch.equal(mean[:, kept], image[:, kept]) and not torch.equal(mean, image)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # this codec is of no kind that documents know
def test_training_sees_states(photographs: Path, tmp_path: Path) -> None:
    document = {
        "model": Recipe(name="tiny"),
        "data": {"kind": "clean", "folders": [photographs]},
        "output": tmp_path / "run",
        "stages": [{"until": 2, "patch": 32, "regions": 2, "patches": 2}],
        "region": 64,
        "validation": {"images": 0},
        "precision": "fp32",
    }
    config = TrainConfig(**document).model_copy(update={"model": recipe()})
    x0, condition = Batches(config, torch.device("cpu"), 0, 1)(0)
    assert x0.shape == condition.image.shape == (4, 12, 16, 16)
    assert [progress.step for progress in Trainer(config, device="cpu")] == [1, 2]
