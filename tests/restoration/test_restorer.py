"""`Restorer`: the same kind out as in, seeds, samples, sizes, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from itertools import combinations
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore import Photo, Posterior, Restorer
from restore.contracts import Denoiser
from restore.denoisers.threshold import NoThreshold
from restore.denoisers.tiles import Tiles
from restore.errors import ArrayError, CheckpointError, ConfigError, ImageError, TensorMismatch
from restore.models.recipe import Recipe
from restore.restoration.settings import Settings
from restore.samplers import DDIM, Ancestral, DPMSolver
from restore.system.seeds import seed_of, seeds_of
from restore.tasks import Prepared


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_comes_back_in_its_own(restorer: Restorer, height: int, width: int) -> None:
    x = restorer.batch(Prepared(torch.rand(1, 3, height, width) * 2 - 1)).mean
    assert x.shape == (1, 3, height, width)
    assert torch.isfinite(x).all() and x.abs().max() <= 1


def test_the_same_kind_comes_back(restorer: Restorer, photographs: Path) -> None:
    path = photographs / "coffee.png"
    with Image.open(path) as image:
        array = np.asarray(image)
    results = {
        "path": restorer(path),
        "text": restorer(str(path)),
        "pil": restorer(Image.fromarray(array)),
        "uint8": restorer(array),
        "float": restorer(array.astype(np.float32) / 255),
        "tensor": restorer(torch.from_numpy(array.copy()).permute(2, 0, 1) / 255),
    }
    assert isinstance(results["path"], Photo) and isinstance(results["text"], Photo)
    assert isinstance(results["pil"], Image.Image) and results["pil"].size == (128, 96)
    assert results["uint8"].dtype == np.uint8 and results["uint8"].shape == array.shape
    assert results["float"].dtype == np.float32
    assert results["tensor"].shape == (3, 96, 128)
    want = results["uint8"].astype(np.float64)
    assert np.abs(np.asarray(results["pil"]) - want).max() <= 1
    assert np.abs(results["float"] * 255 - want).max() <= 0.51
    assert (results["tensor"].permute(1, 2, 0).numpy() * 255 - want).__abs__().max() <= 0.51


def test_saving_what_came_from_a_path(restorer: Restorer, photographs: Path, tmp_path: Path) -> None:
    restorer(photographs / "rocket.png").save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (128, 96)


def test_an_image_does_not_depend_on_its_batch(restorer: Restorer) -> None:
    x = torch.rand(3, 3, 40, 70) * 2 - 1
    batch = restorer.batch(Prepared(x), Settings(steps=3), seeds=[5, 6, 7]).mean
    alone = restorer.batch(Prepared(x[2:]), Settings(steps=3), seeds=[7]).mean
    torch.testing.assert_close(batch[2:], alone, atol=1e-5, rtol=1e-5)
    turned = restorer.batch(Prepared(x.flip(0)), Settings(steps=3), seeds=[7, 6, 5]).mean
    torch.testing.assert_close(turned.flip(0), batch, atol=1e-5, rtol=1e-5)


def test_samples_are_their_mean_and_deviation(restorer: Restorer) -> None:
    x = torch.rand(3, 30, 50) * 2 - 1
    posterior = restorer.posterior(x, Settings(samples=4, seed=9, steps=2))
    seeds = [9, *(seed_of(9, k) for k in range(1, 4))]
    each = torch.stack([restorer.batch(Prepared(x[None]), Settings(steps=2), seeds=[s]).mean[0] for s in seeds])
    torch.testing.assert_close(posterior.mean, each.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.deviation, each.std(0), atol=1e-4, rtol=1e-3)
    assert restorer.posterior(x).deviation is None


def test_the_number_of_tiles_is_told_before_and_counted_after(restorer: Restorer) -> None:
    seen: list[int] = []
    restorer.posterior(torch.zeros(3, 150, 100), Settings(steps=2, samples=3), on_tiles=seen.append)
    assert sum(seen) == restorer.evaluations(150, 100, Settings(steps=2, samples=3))
    assert max(seen) <= restorer.recipe.tiles.batch


def test_the_task_is_told_to_the_network(restorer: Restorer) -> None:
    x = torch.rand(3, 32, 32)
    rain, blind = (restorer.posterior(x, Settings(task=task)).mean for task in ("derain", "weather"))
    assert not torch.equal(rain, blind)
    assert torch.equal(blind, restorer.posterior(x).mean)


def test_what_is_refused(restorer: Restorer, tmp_path: Path) -> None:
    x = torch.zeros(3, 16, 16)
    with pytest.raises(ConfigError, match="does not know task 'x'"):
        restorer.posterior(x, Settings(task="x"))
    with pytest.raises(ConfigError, match="samples"):
        restorer.posterior(x, Settings(samples=0))
    with pytest.raises(ConfigError, match="between 1 and 1000"):
        restorer.posterior(x, Settings(steps=0))
    with pytest.raises(ArrayError, match=r"\(B, 3, H, W\)"):
        restorer.batch(Prepared(x))
    with pytest.raises(ArrayError):
        restorer(np.zeros((4, 4, 3)) * np.nan)
    with pytest.raises(ImageError):
        restorer(tmp_path / "nothing.png")


def test_threads_share_a_restorer_and_its_settings_do_not_mix(restorer: Restorer) -> None:
    x = torch.rand(3, 70, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small = Tiles(size=32, overlap=8, batch=2, multiple=4, context=16)
    ways = [
        Settings(),
        Settings(task="derain", steps=3),
        Settings(task="desnow", steps=2, samples=2, seed=4),
        Settings(tiles=small, seed=1, steps=2),
        Settings(self_ensemble=4, task="dehaze"),
        Settings(sampler=DPMSolver(steps=3), tiles=small),
        Settings(tiles=small.model_copy(update={"guard": 0.5, "context": 0}), steps=2),
        Settings(label="haze", sampler=DDIM(steps=3, eta=1.0), seed=9, self_ensemble=2),
    ]
    alone = [restorer.posterior(x, way) for way in ways]
    assert all(not torch.equal(a.mean, b.mean) for a, b in combinations(alone, 2))
    together = Barrier(len(ways))

    def work(k: int) -> list[Posterior]:
        found = []
        for turn in range(3):
            together.wait(60)
            found.append(restorer.posterior(x, ways[(k + turn) % len(ways)]))
        return found

    with ThreadPoolExecutor(len(ways)) as pool:
        for k, found in enumerate(pool.map(work, range(len(ways)))):
            for turn, one in enumerate(found):
                want = alone[(k + turn) % len(ways)]
                assert torch.equal(one.mean, want.mean)
                assert (one.deviation is None) == (want.deviation is None)
                assert want.deviation is None or torch.equal(one.deviation, want.deviation)


def test_a_restorer_is_frozen(restorer: Restorer) -> None:
    for name in ("recipe", "network", "tiles", "guide"):
        with pytest.raises(FrozenInstanceError):
            setattr(restorer, name, None)
    with pytest.raises(FrozenInstanceError):
        Settings().steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "way",
    [
        Settings(),
        Settings(steps=3, samples=2),
        Settings(tiles=Tiles(size=16, overlap=4, multiple=4, batch=2, context=16, guard=0.5), steps=2),
        Settings(self_ensemble=4, sampler=DPMSolver(steps=3)),
        Settings(sampler=Ancestral(steps=3)),
    ],
    ids=["one step", "samples", "guarded tiles", "self-ensemble", "ancestral"],
)
def test_gradients_flow_from_the_result_to_the_image(tiny_recipe: Recipe, way: Settings) -> None:
    """What they say of a small change is what a small change does; without the setting there are none."""
    torch.manual_seed(0)
    recipe = tiny_recipe.model_copy(update={"threshold": NoThreshold()})
    network = recipe.network.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model = Restorer(recipe, network.requires_grad_(False))
    image, weight, direction = torch.rand(3, 3, 24, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def loss(x: torch.Tensor, settings: Settings) -> torch.Tensor:
        return (model.posterior(x, settings).mean.double() * weight).sum()

    image.requires_grad_()
    assert not loss(image, way).requires_grad
    (gradient,) = torch.autograd.grad(loss(image, way.changed(gradients=True)), image)
    assert gradient.isfinite().all() and (gradient.abs() > 1e-6).float().mean() > 0.99
    along, h = float((gradient.double() * direction).sum()), 2e-3
    with torch.no_grad():
        ahead, behind = (float(loss(image + sign * h * direction, way)) for sign in (1, -1))
    assert (ahead - behind) / (2 * h) == pytest.approx(along, rel=2e-2)
    assert abs(along) > 1


def test_images_of_a_batch_are_restored_as_alone_each_with_its_own_seed(restorer: Restorer) -> None:
    batch = torch.rand(4, 3, 40, 70, generator=torch.Generator().manual_seed(0))
    way = Settings(steps=3, samples=2, seed=11)
    seeds = seeds_of(11, 4)
    assert seeds[0] == 11 and len(set(seeds)) == 4 and seeds_of(11, 2) == seeds[:2] and seeds_of(11, 0) == []
    together = restorer(batch, way)
    assert together.shape == batch.shape
    for one, seed, image in zip(together, seeds, batch, strict=True):
        torch.testing.assert_close(one, restorer(image, way, seed=seed), atol=1e-5, rtol=1e-5)
    same = restorer(batch[:1].expand(2, -1, -1, -1), way)
    assert (same[0] - same[1]).abs().max() > 1e-3  # equal images, other seeds


def test_a_batch_is_one_batch_to_the_network(restorer: Restorer) -> None:
    calls: list[int] = []

    def watched(denoiser: Denoiser) -> Denoiser:
        return lambda x_t, level, condition: (calls.append(len(x_t)), denoiser(x_t, level, condition))[1]

    restorer(torch.rand(3, 3, 24, 24), guide=watched)
    assert calls == [3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_image(tiny_model: Path) -> None:
    x = torch.rand(1, 3, 70, 90) * 2 - 1
    cpu, cuda = (
        Restorer.from_pretrained(tiny_model, device=d, dtype=torch.float32).batch(Prepared(x)).mean.cpu()
        for d in ("cpu", "cuda")
    )
    torch.testing.assert_close(cpu, cuda, atol=2e-3, rtol=2e-3)


def test_bfloat16_is_close(tiny_model: Path, restorer: Restorer) -> None:
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    half = Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.bfloat16).batch(Prepared(x)).mean
    assert half.dtype == torch.float32
    assert (half - restorer.batch(Prepared(x)).mean).abs().mean() < 0.02


def test_damaged_weights(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from restore.models import native

    whole = tiny_model.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
        Restorer.from_pretrained(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="foreign"):
        Restorer.from_pretrained(foreign)
    document = native.read_metadata(tiny_model)
    tensors = native.load(tiny_model)
    for change, name in (
        (lambda t: t.pop("stem.bias"), r"missing stem\.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "left over extra"),
        (lambda t: t.update({"stem.bias": torch.zeros(3)}), r"stem\.bias is \(3,\)"),
        (lambda t: t["stem.bias"].fill_(float("nan")), r"stem\.bias holds NaN"),
    ):
        changed = {key: value.clone() for key, value in tensors.items()}
        change(changed)
        path = tmp_path / "changed.safetensors"
        native.save(path, changed, document["recipe"])
        with pytest.raises(TensorMismatch, match=name):
            Restorer.from_pretrained(path)
