"""`Restorer`: the same kind out as in, seeds, samples, sizes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore import Picture, Restorer
from restore.errors import ArrayError, CheckpointError, ConfigError, ImageError, TensorMismatch
from restore.system.seeds import seed_of


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_comes_back_in_its_own(restorer: Restorer, height: int, width: int) -> None:
    x = restorer.restore(torch.rand(1, 3, height, width) * 2 - 1)
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
    assert isinstance(results["path"], Picture) and isinstance(results["text"], Picture)
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


def test_a_picture_does_not_depend_on_its_batch(restorer: Restorer) -> None:
    x = torch.rand(3, 3, 40, 70) * 2 - 1
    batch = restorer.restore(x, seeds=[5, 6, 7], sampler=restorer.sampler(3))
    alone = restorer.restore(x[2:], seeds=[7], sampler=restorer.sampler(3))
    torch.testing.assert_close(batch[2:], alone, atol=1e-5, rtol=1e-5)
    turned = restorer.restore(x.flip(0), seeds=[7, 6, 5], sampler=restorer.sampler(3))
    torch.testing.assert_close(turned.flip(0), batch, atol=1e-5, rtol=1e-5)


def test_samples_are_their_mean_and_deviation(restorer: Restorer) -> None:
    x = torch.rand(3, 30, 50) * 2 - 1
    posterior = restorer.posterior(x, samples=4, seed=9, steps=2)
    seeds = [9, *(seed_of(9, k) for k in range(1, 4))]
    each = torch.stack([restorer.restore(x[None], seeds=[s], sampler=restorer.sampler(2))[0] for s in seeds])
    torch.testing.assert_close(posterior.mean, each.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.deviation, each.std(0), atol=1e-4, rtol=1e-3)
    assert restorer.posterior(x).deviation is None


def test_the_number_of_tiles_is_told_before_and_counted_after(restorer: Restorer) -> None:
    seen: list[int] = []
    restorer.posterior(torch.zeros(3, 150, 100), steps=2, samples=3, on_batch=seen.append)
    assert sum(seen) == restorer.evaluations(150, 100, steps=2, samples=3)
    assert max(seen) <= restorer.recipe.patches.batch


def test_the_task_is_told_to_the_network(restorer: Restorer) -> None:
    x = torch.rand(3, 32, 32)
    rain, blind = (restorer.posterior(x, task=task).mean for task in ("derain", "weather"))
    assert not torch.equal(rain, blind)
    assert torch.equal(blind, restorer.posterior(x).mean)


def test_what_is_refused(restorer: Restorer, tmp_path: Path) -> None:
    x = torch.zeros(3, 16, 16)
    with pytest.raises(ConfigError, match="does not know task 'x'"):
        restorer.posterior(x, task="x")
    with pytest.raises(ConfigError, match="samples"):
        restorer.posterior(x, samples=0)
    with pytest.raises(ConfigError, match="between 1 and 1000"):
        restorer.posterior(x, steps=0)
    with pytest.raises(ArrayError, match=r"\(B, 3, H, W\)"):
        restorer.restore(x)
    with pytest.raises(ArrayError):
        restorer(np.zeros((4, 4, 3)) * np.nan)
    with pytest.raises(ImageError):
        restorer(tmp_path / "nothing.png")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_picture(tiny_model: Path) -> None:
    x = torch.rand(1, 3, 70, 90) * 2 - 1
    cpu, cuda = (
        Restorer.from_pretrained(tiny_model, device=d, dtype=torch.float32).restore(x).cpu() for d in ("cpu", "cuda")
    )
    torch.testing.assert_close(cpu, cuda, atol=2e-3, rtol=2e-3)


def test_bfloat16_is_close(tiny_model: Path, restorer: Restorer) -> None:
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    half = Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.bfloat16).restore(x)
    assert half.dtype == torch.float32
    assert (half - restorer.restore(x)).abs().mean() < 0.02


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
