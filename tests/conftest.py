"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pairs and recorded numbers that is not part of the repository."""
    root = Path(os.environ.get("RESTORE_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    if not root.is_dir():
        pytest.skip(f"the folder of real data {root} is absent (set RESTORE_SHARED to where it is)")
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small photographs that scikit-image ships."""
    from PIL import Image
    from skimage import data

    folder = tmp_path_factory.mktemp("photographs")
    source = Path(data.__file__).parent
    for name in ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket"):
        with Image.open(next(source.glob(f"{name}.*"))) as image:
            image.convert("RGB").crop((40, 60, 168, 156)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_recipe():  # type: ignore[no-untyped-def]
    """A recipe whose network is small enough for a test."""
    from restore.config import Recipe
    from restore.networks import EfficientUNetSpec
    from restore.patches import Patches

    return Recipe(
        name="tiny",
        tasks={"weather": "unknown", "derain": "rain", "desnow": "snow", "dehaze": "haze"},
        network=EfficientUNetSpec(channels=(8, 16), blocks=(1, 1), embedding=16, context=8),
        patches=Patches(size=64, overlap=16, batch=3, multiple=4, context=16),
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_recipe) -> Path:  # type: ignore[no-untyped-def]
    """A checkpoint of a tiny model with random weights that does change pictures."""
    from restore import checkpoints

    torch.manual_seed(0)
    network = tiny_recipe.network.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoints.save(path, network.state_dict(), tiny_recipe.model_dump(mode="json"))
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Where tensors are small, a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
