"""What each task shows the network, in training and of a user's image; what it gives back, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from restore.contracts import Condition
from restore.degradations import LABELS, Mixture, Random
from restore.degradations.names import named
from restore.denoisers.tiles import Tiles
from restore.diffusion.schedule import Cosine
from restore.errors import ConfigError
from restore.images import Metadata, Photo
from restore.models import native
from restore.models.recipe import Recipe
from restore.networks import EfficientUNetSpec, UNetSpec
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM
from restore.system.resources import list_cards
from restore.tasks import (
    Colorization,
    Compression,
    Generation,
    Inpainting,
    Request,
    SuperResolution,
    Task,
    TaskSpec,
    Uncropping,
    Weather,
)
from restore.training.config import TrainConfig, load_train_config
from restore.training.objective import Batch, FewStep, Setting, Simple
from restore.training.trainer import Trainer

TASKS: dict[str, Task] = {
    task.kind: task
    for task in (Weather(), Inpainting(), SuperResolution(), Colorization(), Uncropping(), Compression())
}
every_task = pytest.mark.parametrize("kind", TASKS)

MASK = torch.zeros(1, 32, 40)
MASK[:, 8:20, 10:30] = 1
REQUESTS = {"inpaint": Request(mask=MASK), "uncrop": Request(pad=(4, 0, 7, 3)), "upscale": Request(scale=4)}


def recipe(task: Task, **changes: object) -> Recipe:
    network = EfficientUNetSpec(
        channels=(8, 16), blocks=(1, 1), embedding=16, context=8, condition_channels=task.channels
    )
    tiles = Tiles(size=64, overlap=16, batch=3, multiple=4, context=16)
    return Recipe(**{"name": "tiny", "task": task, "network": network, "tiles": tiles, **changes})


@pytest.fixture
def restorer() -> Callable[[Task], Restorer]:
    def build(task: Task) -> Restorer:
        torch.manual_seed(0)
        document = recipe(task)
        network = document.network.build()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return Restorer(document, network)

    return build


@every_task
def test_documents_come_back_from_json(kind: str) -> None:
    task = TASKS[kind]
    assert TypeAdapter(TaskSpec).validate_json(task.model_dump_json()) == task
    document = recipe(task)
    assert document.tasks == {kind: "unknown"}
    assert Recipe.model_validate_json(document.model_dump_json()) == document


@every_task
def test_default_cards_are_there(kind: str) -> None:
    assert TASKS[kind].card in list_cards()


@every_task
def test_training_images_are_what_a_network_is_given(kind: str) -> None:
    task, clean = TASKS[kind], torch.rand(5, 3, 32, 40)
    make = task.examples(Mixture())
    image, label, hole = make(clean, Random(range(5)), None)
    assert image.shape == (5, task.channels, 32, 40)
    assert image.min() >= -1 and image.max() <= 1
    assert label.shape == (5,) and label.dtype == torch.int64
    again = make(clean[3:], Random(range(3, 5)), None)
    torch.testing.assert_close(again.image, image[3:], atol=4e-5, rtol=0)
    if hole is not None:
        assert hole.flatten(1).any(1).all()
        known = (hole < 0.5).expand(-1, 3, -1, -1)
        assert torch.equal(image[:, :3][known], (clean * 2 - 1)[known])
        assert torch.equal(image[:, 3:], hole * 2 - 1)
    for name, view in task.views(Mixture()).items():
        shown = view(clean, Random(range(5)), 0.7)
        assert shown.image.shape == image.shape, name


def test_weather_is_told_by_its_label() -> None:
    clean = torch.rand(2, 3, 16, 16)
    for name, view in Weather().views(Mixture()).items():
        assert view(clean, Random([0, 1]), 1.0).label.tolist() == [LABELS.index(name)] * 2


@every_task
def test_an_image_comes_back_in_the_promised_size(kind: str, restorer) -> None:
    task, request = TASKS[kind], REQUESTS.get(kind, Request())
    pixels = torch.rand(3, 32, 40) * 2 - 1
    model = restorer(task)
    mean = model.posterior(pixels, Settings(task=kind, request=request, steps=2, samples=2)).mean
    assert mean.shape == (3, *task.size(32, 40, request))
    assert torch.isfinite(mean).all() and mean.abs().max() <= 1
    image, hole = task.prepare(pixels[None], request)
    assert image.shape[1] == task.channels
    if hole is not None:
        known = (hole[0] < 0.5).expand(3, -1, -1)
        assert torch.equal(mean[known], image[0, :3][known]), "known pixels are exact"
        assert not torch.equal(mean[~known], image[0, :3][~known])


def test_uncropping_keeps_the_image_where_it_was(restorer) -> None:
    pixels = torch.rand(3, 32, 40) * 2 - 1
    mean = restorer(Uncropping()).posterior(pixels, Settings(request=Request(pad=(4, 1, 7, 3)))).mean
    assert torch.equal(mean[:, 1:33, 4:44], pixels)


def test_superresolution_sees_the_enlarged_image() -> None:
    low = torch.rand(1, 3, 9, 11) * 2 - 1
    image, _ = SuperResolution(scale=3).prepare(low, Request())
    assert image.shape == (1, 3, 27, 33)
    same, _ = SuperResolution(scale=3).prepare(low, Request(enlarged=True))
    assert torch.equal(same, low)
    ours = SuperResolution(scale=4).examples(Mixture())(torch.rand(2, 3, 16, 16), Random([0, 1]), None).image
    clean = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(
        SuperResolution(scale=4).examples(Mixture())(clean, Random([0, 1]), None).image,
        named("bicubic-x4")(clean, Random([0, 1])) * 2 - 1,
    )
    assert ours.shape == (2, 3, 16, 16)


def test_colours_are_added_to_the_luma_that_was_given(restorer) -> None:
    gray = (torch.rand(1, 32, 40) * 0.4 - 0.2).expand(3, -1, -1).contiguous()
    model = restorer(Colorization())
    coloured = model(Photo(gray, gray=True))
    assert not coloured.gray
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close((coloured.pixels * weights).sum(0), gray[0], atol=1e-5, rtol=0)
    assert (coloured.pixels - gray).abs().max() > 0.01
    tensor = model(gray[0] / 2 + 0.5)
    assert tensor.shape == (3, *gray.shape[1:]), "a tensor without an axis of channels gets one, as an array does"
    seen, _ = Colorization().prepare(torch.rand(1, 3, 4, 4), Request())
    assert torch.equal(seen[:, 0], seen[:, 2]), "colours that are there are not looked at"


def test_the_profile_of_a_gray_image_is_not_that_of_its_colours() -> None:
    for gray, icc in ((True, None), (False, b"profile")):
        image = Photo(torch.zeros(3, 4, 4), gray=gray, metadata=Metadata(icc=b"profile", dpi=(300, 300)))
        coloured = Colorization().finish(image, torch.zeros(3, 4, 4), Request())
        assert (coloured.metadata.icc, coloured.metadata.dpi) == (icc, (300, 300))


def test_alpha_goes_along() -> None:
    alpha = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)
    image = Photo(torch.zeros(3, 32, 40), alpha=alpha)
    wide = Uncropping().finish(image, torch.zeros(3, 35, 51), Request(pad=(4, 0, 7, 3)))
    assert np.array_equal(wide.alpha[:32, 4:44], alpha)
    assert (wide.alpha[32:] == 65535).all() and (wide.alpha[:, :4] == 65535).all()
    large = SuperResolution().finish(image, torch.zeros(3, 128, 160), Request())
    assert large.alpha.shape == (128, 160)


@pytest.mark.parametrize(
    ("task", "request_", "message"),
    [
        (Weather(), Request(mask=MASK), "no use for a mask"),
        (Compression(), Request(scale=2), "no use for a scale"),
        (Colorization(), Request(pad=(1, 0, 0, 0)), "no use for a pad"),
        (Inpainting(), Request(), "needs a mask: pass --mask"),
        (Inpainting(), Request(mask=torch.zeros(1, 32, 40)), "the mask is empty"),
        (Inpainting(), Request(mask=MASK[0]), r"shape \(1, H, W\), not \(32, 40\)"),
        (Weather(), Request(enlarged=True), "leave enlarged out of the request"),
        (Inpainting(), Request(mask=MASK[:, :31]), "the mask has 40x31 pixels, the image 40x32"),
        (SuperResolution(scale=4), Request(scale=3), "trained to enlarge by 4, not by 3"),
        (Uncropping(), Request(), "--pad"),
        (Uncropping(), Request(pad=(4, 0, 0, 0), mask=MASK), "either --pad or"),
        (Uncropping(), Request(pad=(0, 0, 0, 0)), "0,0,0,0"),
        (Uncropping(), Request(pad=(4, -1, 0, 0)), "4,-1,0,0"),
    ],
)
def test_what_makes_no_sense_is_refused(task: Task, request_: Request, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task.prepare(torch.zeros(1, 3, 32, 40), request_)


def test_a_model_of_holes_also_grows_borders(restorer) -> None:
    torch.manual_seed(0)
    document = recipe(Inpainting(), tasks={"inpaint": "unknown", "uncrop": "unknown"})
    model = Restorer(document, document.network.build())
    assert isinstance(model.task("uncrop"), Uncropping)
    settings = Settings(task="uncrop", request=Request(pad=(4, 4, 0, 0)))
    assert model.posterior(torch.zeros(3, 20, 20), settings).mean.shape == (3, 24, 24)
    with pytest.raises(ConfigError, match="does not know task 'upscale'"):
        model.task("upscale")


@pytest.mark.parametrize("start", [None, 300])
def test_a_generator_fills_holes_though_it_is_shown_nothing(start: int | None) -> None:
    """Known pixels are exact and the network never sees them without noise: it sees x_t alone."""
    torch.manual_seed(0)
    network = UNetSpec(stem=8, channels=(8, 16), blocks=1, attention=(), groups=4, condition_channels=0)
    document = Recipe(
        name="x",
        task=Generation(),
        tasks={"generate": "unknown", "inpaint": "unknown", "uncrop": "unknown"},
        network=network,
        prediction="eps",
        level_input="t",
        schedule=Cosine(steps=1000),
        sampler=DDIM(steps=3, start=start, spacing="leading"),
        tiles=Tiles(size=64, multiple=8, overlap=8),
    )
    seen: list[torch.Tensor] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network.build()

        def forward(self, x_t: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
            seen.append(x_t)
            return self.inner(x_t, level, condition)

    model, known = Restorer(document, Watched()), torch.rand(3, 32, 40) * 2 - 1
    filled = model.posterior(known, Settings(task="inpaint", request=REQUESTS["inpaint"], seed=3))
    outside = (MASK < 0.5).expand(3, -1, -1)
    assert torch.equal(filled.mean[outside], known[outside]) and filled.hole is not None
    assert not torch.equal(
        filled.mean, model.posterior(known, Settings(task="inpaint", request=REQUESTS["inpaint"])).mean
    )
    assert (seen[0][0][outside] - known[outside]).abs().mean() > 0.1
    assert model.posterior(known, Settings(task="uncrop", request=Request(pad=(0, 8, 0, 0)))).mean.shape == (3, 40, 40)
    with pytest.raises(ConfigError, match="not trained here"):
        Generation().examples(Mixture())


def test_the_network_must_fit_the_task() -> None:
    with pytest.raises(ValidationError, match="condition_channels=4"):
        Recipe(name="x", task=Inpainting())
    published = Recipe(name="x", task=Inpainting(mask_channel=False, fill="noise"))
    assert published.task.channels == 3
    image, _ = published.task.prepare(torch.zeros(1, 3, 32, 40), REQUESTS["inpaint"])
    inside = image[:, :, MASK[0] > 0.5]
    assert abs(float(inside.std()) - 1) < 0.1 and float(image[:, :, MASK[0] < 0.5].abs().max()) == 0


def test_old_recipes_are_of_weather() -> None:
    assert Recipe.model_validate({"name": "old"}) == Recipe(name="old")
    assert Recipe(name="old").task == Weather()
    assert Recipe(name="old").tasks == {"weather": "unknown"}
    assert Recipe.model_validate({"name": "old", "upscale": None}) == Recipe(name="old")
    with pytest.raises(ValidationError, match="upscale"):
        Recipe.model_validate({"name": "old", "upscale": {"scale": 4}})


@pytest.mark.parametrize("objective", [Simple(norm="l1"), FewStep(steps=2)], ids=lambda o: o.kind)
def test_nothing_is_learned_from_known_pixels(objective) -> None:
    task = Inpainting()
    x0 = torch.rand(2, 3, 16, 16) * 2 - 1
    hole = torch.zeros(2, 1, 16, 16)
    hole[:, :, 4:9, 4:9] = 1
    condition = Condition(task.condition(x0, hole))
    seen = []

    def network(x_t, value, condition):  # type: ignore[no-untyped-def]
        seen.append(x_t)
        return bias.expand_as(x_t) + 0

    bias = torch.zeros(2, 3, 16, 16, requires_grad=True)
    setting = Setting(network, recipe(task).parameterization(), task)
    loss = objective.build(setting)(Batch(x0, condition, torch.Generator().manual_seed(0)))
    loss.backward()
    inside = (hole > 0).expand(-1, 3, -1, -1)
    assert bias.grad[inside].abs().min() > 0
    assert bias.grad[~inside].abs().max() == 0
    for x_t in seen:
        assert torch.equal(x_t[~inside], x0[~inside]), "known pixels are seen without noise"
        assert not torch.equal(x_t[inside], x0[inside])


@every_task
def test_every_task_trains_by_its_configuration(kind: str, photographs, tmp_path) -> None:
    """The shipped YAML, with a smaller network and two steps; what it writes restores an image."""
    name = {"upscale": "upscale_x4"}.get(kind, kind)
    smaller = ["model.network.channels=[8,16]", "model.network.blocks=[1,1]", "model.network.embedding=16"]
    short = ["stages=[{until: 2, patch: 32, regions: 2, patches: 1}]", "region=32", "validation.images=1"]
    config: TrainConfig = load_train_config(
        name,
        [
            *smaller,
            *short,
            f"data.folders=[{photographs}]",
            f"output={tmp_path}",
            "validation.size=64",
            "optimizer.warmup=1",
        ],
    )
    assert config.model.task.kind == kind
    progress = list(Trainer(config, device="cpu"))
    assert set(progress[-1].validation) == set(
        config.model.task.views(Mixture(weights=config.data.degradation.weights))
    )
    assert (tmp_path / "validation" / "0000002.png").is_file()
    metadata = native.read_metadata(tmp_path / "model.safetensors")
    assert metadata["recipe"]["task"]["kind"] == kind
    model = Restorer.from_pretrained(tmp_path / "model.safetensors", device="cpu")
    request = REQUESTS.get(kind, Request())
    assert model.posterior(torch.zeros(3, 32, 40), Settings(request=request)).mean.shape[0] == 3


def test_an_image_is_enlarged_by_two_at_least() -> None:
    with pytest.raises(ValidationError, match=r"scale\n.*greater than or equal to 2"):
        SuperResolution(scale=1)


def test_made_images_are_restored_with_what_made_them(restorer) -> None:
    """What an evaluation asks: the hole is where the degradation put it, an enlarged image is not enlarged again."""
    clean = torch.rand(1, 3, 32, 40)
    box = named("mask-box")
    degraded = box(clean, Random([5]), 0.5)
    request = Inpainting().request_for(box, Random([5]), 32, 40, 0.5)
    assert torch.equal(torch.where(request.mask > 0.5, 0.5, clean), degraded)
    assert SuperResolution().request_for(named("bicubic-x4"), Random([0]), 32, 40, None).enlarged
    for other in ("bicubic-x2", "blind-x2", "rain"):
        with pytest.raises(ConfigError, match="enlarges images by 4, and"):
            SuperResolution().request_for(named(other), Random([0]), 32, 40, None)
    assert Weather().request_for(named("rain"), Random([0]), 32, 40, None) == Request()
    with pytest.raises(ConfigError, match="makes none"):
        Inpainting().request_for(named("rain"), Random([0]), 32, 40, None)
