"""What the JPEG model owes to knowing where blocks lie: files, files that were cropped since, and those not aligned.

    python scripts/bench/blocks.py SET14_FOLDER --quality 10

The table gives the mean gain in PSNR of images as they are stored, of the same cropped by one to seven pixels above
and to the left, and of the cropped ones when their blocks are not looked for (`restore/denoisers/aligned.py`).
"""

from __future__ import annotations

import argparse
from typing import ClassVar

import numpy as np
import torch
from machine import describe, table
from torch import Tensor

from restore import images
from restore.degradations.jpeg import compress
from restore.evaluation.metrics import psnr
from restore.restoration.restorer import Restorer
from restore.tasks import Compression


class Unaware(Compression):
    """The task without a look for blocks."""

    aligned: ClassVar[bool] = False


def gain(restorer: Restorer, stored: Tensor, clean: Tensor) -> float:
    """Return what restoring (3, H, W) in [0, 1] gains in PSNR, in dB."""
    restored = restorer.posterior(stored * 2 - 1).mean[None].add(1).mul(127.5).clamp(0, 255).round()
    return float(psnr(restored, clean[None] * 255)) - float(psnr(stored[None] * 255, clean[None] * 255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--quality", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    restorer = Restorer.from_pretrained("jpeg", options.device)
    assert isinstance(restorer.recipe.task, Compression)
    unaware = restorer.recipe.model_copy(update={"task": Unaware(codec=restorer.recipe.task.codec)})
    other = Restorer(unaware, restorer.network, restorer.device, restorer.dtype)
    draws, gains = np.random.default_rng(0), []
    for path in images.list_images([options.folder]):
        clean = images.read(path).pixels.add(1).div_(2)
        stored = compress(clean, options.quality)
        top, left = (int(n) for n in draws.integers(1, 8, 2))
        pair = stored[:, top:, left:].contiguous(), clean[:, top:, left:].contiguous()
        gains.append([gain(restorer, stored, clean), gain(restorer, *pair), gain(other, *pair)])
    mean = torch.tensor(gains).mean(0).tolist()
    print(describe(options.device))
    print(f"{len(gains)} images, quality {options.quality}\n")
    print(table(["as stored", "cropped", "cropped, not aligned"], [[f"{value:+.2f}" for value in mean]]))


if __name__ == "__main__":
    main()
