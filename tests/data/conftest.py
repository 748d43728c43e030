"""Small pictures that look like different scenes, and folders of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def scene(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth random picture, uint8 (height, width, 3): blobs of colour, a fine texture, no two seeds alike."""
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
def picture() -> Callable[..., np.ndarray]:
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
