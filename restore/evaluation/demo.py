"""The demonstration: weather on photographs that scikit-image ships, restored, measured and laid side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from restore import images
from restore.degradations import Mixture, Random
from restore.evaluation.metrics import psnr, ssim
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.system.seeds import seed_of

__all__ = ["CASES", "Demo", "DemoRow", "run_demo"]

CASES = (
    ("astronaut", "rain"),
    ("coffee", "snow"),
    ("rocket", "haze"),
    ("chelsea", "rain+haze"),
    ("motorcycle_left", "raindrop"),
)
SEVERITY = 0.6
SHEET_HEIGHT = 300


@dataclass(frozen=True)
class DemoRow:
    """One image of the demonstration: RGB PSNR in dB and SSIM against the clean image, (before, after)."""

    image: str
    weather: str
    psnr: tuple[float, float]
    ssim: tuple[float, float]


@dataclass(frozen=True)
class Demo:
    """What the demonstration made."""

    rows: tuple[DemoRow, ...]
    sheet: Path


def run_demo(
    restorer: Restorer,
    output: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    on_image: Callable[[int], object] = lambda _: None,
) -> Demo:
    """Return the scores of the demonstration; writes each image degraded and restored, and a sheet of all.

    The photographs come with scikit-image (their licences are in its `data/README.txt`); nothing is downloaded. A
    model that was trained on some kinds of weather is given these.
    """
    from skimage import data

    folder = Path(data.__file__).parent
    parts = Mixture().parts()
    tasks = {label: task for task, label in restorer.recipe.tasks.items()}
    rows, strips = [], []
    for name, weather in CASES:
        if weather not in restorer.recipe.labels:
            continue
        image = images.read(next(folder.glob(f"{name}.*")))
        clean = image.pixels[None].add(1).div_(2)
        degraded = parts[weather](clean, Random([seed_of(seed, len(rows))]), SEVERITY)
        # what is stored is what is restored: 8-bit values, as a camera would give
        degraded = degraded.mul(255).round_().div_(255)
        task = tasks.get(weather) or next(iter(restorer.recipe.tasks))
        restored = (
            restorer.posterior(degraded[0] * 2 - 1, Settings(task, steps=steps, seed=seed)).mean[None].add(1).div_(2)
        )
        for kind, pixels in (("degraded", degraded), ("restored", restored)):
            images.write(image.with_pixels(pixels[0] * 2 - 1), output / f"{name}.{kind}.png", overwrite=True)
        scores = [_scores(x, clean) for x in (degraded, restored)]
        rows.append(DemoRow(name, weather, (scores[0][0], scores[1][0]), (scores[0][1], scores[1][1])))
        strips.append(torch.cat([_thumb(x) for x in (clean, degraded, restored)], dim=-1))
        on_image(1)
    sheet = output / "comparison.png"
    images.write(images.Photo(_stack(strips) * 2 - 1), sheet, overwrite=True)
    return Demo(tuple(rows), sheet)


def _scores(image: Tensor, clean: Tensor) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of RGB after 8-bit rounding; both (1, 3, H, W) in [0, 1]."""
    a, b = (x.clamp(0, 1).mul(255).round() for x in (image, clean))
    return float(psnr(a, b)), float(ssim(a, b))


def _thumb(image: Tensor) -> Tensor:
    """Return (3, SHEET_HEIGHT, w) of (1, 3, H, W) for the sheet, which is for looking at and not for measuring."""
    h, w = image.shape[-2:]
    size = (SHEET_HEIGHT, round(w * SHEET_HEIGHT / h))
    return torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _stack(strips: list[Tensor]) -> Tensor:
    """Return the strips below each other, narrower ones continued in white."""
    width = max(strip.shape[-1] for strip in strips)
    padded = [torch.nn.functional.pad(strip, (0, width - strip.shape[-1]), value=1.0) for strip in strips]
    return torch.cat(padded, dim=1)
