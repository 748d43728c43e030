"""The quality dial: what more steps, samples and orientations give, in PSNR, SSIM and LPIPS, and what they cost.

    python scripts/bench/dial.py KODAK_FOLDER                      # two and a half minutes on two cores
    python scripts/bench/dial.py KODAK_FOLDER --model ./mine.safetensors --crop 0 --images 24

Images are degraded by the project's own weather at a fixed strength, and the model is told which it is. LPIPS is nan
where its backbone is not there.
"""

from __future__ import annotations

import time

import torch
from machine import describe, table
from quality import WEATHER, opened, pairs, photographs, weather_options
from torch import Tensor

from restore.errors import MissingResource
from restore.evaluation.metrics import lpips, psnr, ssim
from restore.restoration.settings import Settings
from restore.samplers import DDIM

WAYS = [(1, 1, 1), (1, 1, 2), (1, 1, 4), (1, 1, 8), *((steps, samples, 1) for steps in (2, 4, 8) for samples in (1, 4))]
"""Steps, samples, orientations; in one step the models that ship answer all seeds alike."""


def perceptual(a: Tensor, b: Tensor) -> float:
    """Return LPIPS of two images in [0, 255]; NaN where its backbone is not there."""
    try:
        return float(lpips(a / 127.5 - 1, b / 127.5 - 1))
    except MissingResource:
        return float("nan")


def main() -> None:
    options = weather_options(__doc__, images=6, crop=256, severity=0.7, weather=WEATHER[:3]).parse_args()
    restorer = opened(options)
    scores: dict[tuple[int, int, int], list[tuple[float, float, float, float]]] = {way: [] for way in WAYS}
    before: list[tuple[float, float, float, float]] = []
    for label, degraded, clean in pairs(options):
        true, given = clean * 255, degraded * 255
        before.append((float(psnr(given, true)), float(ssim(given, true)), perceptual(given, true), 0.0))
        for steps, samples, orientations in WAYS:
            settings = Settings(label=label, sampler=DDIM(steps=steps), self_ensemble=orientations)
            total = torch.zeros_like(degraded)
            start = time.perf_counter()
            for seed in range(samples):
                total += restorer.posterior(degraded[0] * 2 - 1, settings.changed(seed=seed)).mean
            seconds = time.perf_counter() - start
            image = total.div(samples).add_(1).mul_(127.5).clamp_(0, 255).round_()
            row = float(psnr(image, true)), float(ssim(image, true)), perceptual(image, true), seconds
            scores[steps, samples, orientations].append(row)
    rows = [["degraded", "", "", *_shown(before)]]
    rows += [[*map(str, way), *_shown(scores[way])] for way in WAYS]
    print(describe(options.device))
    print(f"{len(photographs(options))} images, crop {options.crop or 'none'}, {', '.join(options.weather)}, told\n")
    print(table(["steps", "samples", "orientations", "PSNR", "SSIM", "LPIPS", "seconds"], rows))


def _shown(values: list[tuple[float, float, float, float]]) -> list[str]:
    mean = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
    return [f"{mean[0]:.2f}", f"{mean[1]:.4f}", f"{mean[2]:.4f}", f"{mean[3]:.2f}"]


if __name__ == "__main__":
    main()
