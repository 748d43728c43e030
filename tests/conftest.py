"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.diffusion.schedule import Schedule

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
    from restore.denoisers.tiles import Tiles
    from restore.models.recipe import Recipe
    from restore.networks import EfficientUNetSpec

    return Recipe(
        name="tiny",
        tasks={"weather": "unknown", "derain": "rain", "desnow": "snow", "dehaze": "haze"},
        network=EfficientUNetSpec(channels=(8, 16), blocks=(1, 1), embedding=16, context=8),
        tiles=Tiles(size=64, overlap=16, batch=3, multiple=4, context=16),
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_recipe) -> Path:  # type: ignore[no-untyped-def]
    """A checkpoint of a tiny model with random weights that does change images."""
    from restore.models import native

    torch.manual_seed(0)
    network = tiny_recipe.network.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    native.save(path, network.state_dict(), tiny_recipe.model_dump(mode="json"))
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Where tensors are small, a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Independent:
    """Values x0 ~ N(mean, variance), and the denoiser that is optimal for them."""

    mean: float
    variance: float

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return images, float64."""
        return self.mean + self.variance**0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def mmse(self, alpha_bar: Tensor) -> Tensor:
        """Return the variance of x0 given x_t."""
        return self.variance * (1 - alpha_bar) / (alpha_bar * self.variance + 1 - alpha_bar)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return E[x0 | x_t]."""
        alpha_bar = level.alpha_bar.reshape(-1, 1, 1, 1).to(x_t)
        gain = alpha_bar.sqrt() * self.variance / (alpha_bar * self.variance + 1 - alpha_bar)
        return Estimate(self.mean + gain * (x_t - alpha_bar.sqrt() * self.mean))

    def with_variance(self, schedule: Schedule, levels: list[int]):
        """Return the same denoiser with the exact variance of the reverse steps through these levels as a fraction."""
        steps = schedule.transitions(levels)
        exact = (steps.beta_tilde + steps.mean_x0**2 * self.mmse(schedule.alpha_bar[steps.t])).log()
        fraction = (exact - steps.log_beta_tilde) / (steps.log_beta - steps.log_beta_tilde)
        at = {t: fraction[i].item() for i, t in enumerate(levels[:-1])}

        def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
            told = torch.tensor([at[int(t)] for t in level.t], dtype=x_t.dtype).reshape(-1, 1, 1, 1)
            return self(x_t, level, condition)._replace(fraction=told.expand_as(x_t))

        return denoiser


@pytest.fixture
def independent() -> type[Independent]:
    return Independent


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def scene(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth random image, uint8 (height, width, 3): blobs of colour, a fine texture, no two seeds alike."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def degraded(clean: np.ndarray, seed: int) -> np.ndarray:
    """The same scene under grain and a veil."""
    random = np.random.default_rng(seed + 1000)
    veil = clean.astype(np.float32) * 0.8 + 40 + random.normal(0, 12, clean.shape)
    return np.clip(veil, 0, 255).astype(np.uint8)


@pytest.fixture
def image() -> Callable[..., np.ndarray]:
    return scene


@pytest.fixture
def save() -> Callable[..., Path]:
    def write(path: Path, array: np.ndarray, **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, **options)
        return path

    return write


@pytest.fixture
def good(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """A folder with eight sound pairs in `input` and `target`, named 1.png to 8.png."""
    root = tmp_path / "good"
    for seed in range(1, 9):
        clean = scene(seed)
        save(root / "target" / f"{seed}.png", clean)
        save(root / "input" / f"{seed}.png", degraded(clean, seed))
    return root
