"""What is missing from the truth: how much of it is the light of the whole image, which weather hides from everybody.

    python scripts/bench/remainder.py KODAK_FOLDER --images 24 --crop 0

Images are degraded by the project's own weather, and the model is told which it is. The table gives the mean gain in
PSNR as it is, then with the mean of each colour channel set to that of the truth, then with the straight line through
each channel that comes closest to it. What the corrections gain is an error of brightness, contrast or tint that is
one for the whole image; what they leave is a matter of streaks, flakes and blur.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from machine import describe, table
from quality import WEATHER, opened, pairs, photographs, weather_options
from torch import Tensor

from restore.evaluation.metrics import psnr
from restore.restoration.settings import Settings


def shifted(x: Tensor, truth: Tensor) -> Tensor:
    """Return (1, 3, H, W) with the mean of each channel that `truth` has."""
    return x + (truth - x).mean((2, 3), keepdim=True)


def fitted(x: Tensor, truth: Tensor) -> Tensor:
    """Return (1, 3, H, W) with the gain and the offset of each channel that bring it closest to `truth`."""
    there, true = (y - y.mean((2, 3), keepdim=True) for y in (x.double(), truth.double()))
    gain = (there * true).mean((2, 3), keepdim=True) / there.square().mean((2, 3), keepdim=True).clamp(min=1e-9)
    return (there * gain + truth.double().mean((2, 3), keepdim=True)).float()


def main() -> None:
    options = weather_options(__doc__, images=12, crop=0, severity=0.7, weather=WEATHER[:3]).parse_args()
    restorer = opened(options)
    gains: dict[str, list[list[float]]] = defaultdict(list)
    for label, degraded, clean in pairs(options):
        true = clean * 255
        restored = restorer.posterior(degraded[0] * 2 - 1, Settings(label=label)).mean[None].add(1).mul(127.5)
        before = float(psnr(degraded * 255, true))
        ways = restored, shifted(restored, true), fitted(restored, true)
        gains[label].append([float(psnr(way.clamp(0, 255).round(), true)) - before for way in ways])
    rows = [
        [label, *(f"{value:+.2f}" for value in torch.tensor(found).mean(0).tolist())] for label, found in gains.items()
    ]
    print(describe(options.device))
    print(f"{len(photographs(options))} images, crop {options.crop or 'none'}, severity {options.severity}, told\n")
    print(table(["weather", "gain", "with the true mean", "with the best line"], rows))


if __name__ == "__main__":
    main()
