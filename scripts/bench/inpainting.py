"""Filling holes: a model against OpenCV's two classic methods, and against the smooth guess that it starts from.

    python scripts/bench/inpainting.py KODAK_FOLDER MASK_FOLDER      # white means keep, as in RePaint
    python scripts/bench/inpainting.py KODAK_FOLDER MASK_FOLDER --white lost

A mask of the folder (or of its subfolders, which are told apart in the table) goes onto the middle of each image, one
after the other. The table gives the PSNR of the holes alone, in dB, RGB, averaged over images; known pixels must come
back exactly, or the command fails.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import describe, table
from torch import Tensor

from restore import images
from restore.images.fill import flow_in
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.tasks import Request


def classic(method: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return an OpenCV method on (3, H, W) in [-1, 1] and a (1, H, W) hole."""

    def fill(image: Tensor, hole: Tensor) -> Tensor:
        rgb = image.add(1).mul(127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
        filled = cv2.inpaint(rgb, hole[0].byte().numpy(), 3, method)
        return torch.from_numpy(filled).permute(2, 0, 1).float().div(127.5).sub(1)

    return fill


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("masks")
    parser.add_argument("--model", default="inpaint")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--white", choices=["keep", "lost"], default="keep")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sheet", type=Path, help="also write degraded, Telea, model and truth of one mask a kind")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    restorer = Restorer.from_pretrained(options.model, options.device)

    def model(image: Tensor, hole: Tensor) -> Tensor:
        found = restorer.posterior(image, Settings(request=Request(mask=hole), steps=options.steps)).mean
        if not torch.equal(found[:, hole[0] < 0.5], image[:, hole[0] < 0.5]):
            raise SystemExit("known pixels did not come back as they were")
        return found

    methods = {
        "Telea": classic(cv2.INPAINT_TELEA),
        "Navier-Stokes": classic(cv2.INPAINT_NS),
        "smooth guess": lambda image, hole: flow_in(image[None], hole[None])[0],
        options.model: model,
    }
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(Path(options.masks).rglob("*.png")):
        kinds[path.parent.name].append(path)
    photos = images.list_images([options.images])
    rows, sheet = [], []
    for kind, masks in kinds.items():
        scores: dict[str, list[float]] = {name: [] for name in methods}
        for i, path in enumerate(photos):
            mask = cv2.imread(str(masks[i % len(masks)]), cv2.IMREAD_GRAYSCALE)
            lost = (mask < 128) if options.white == "keep" else (mask >= 128)
            hole = torch.from_numpy(lost[None].astype(np.float32))
            clean = images.read(path).pixels
            top, left = ((side - edge) // 2 for side, edge in zip(clean.shape[-2:], mask.shape, strict=True))
            clean = clean[:, top : top + mask.shape[0], left : left + mask.shape[1]].contiguous()
            seen = torch.where(hole > 0, torch.zeros_like(clean), clean)
            results = {name: fill(seen, hole) for name, fill in methods.items()}
            for name, result in results.items():
                error = (result.add(1).mul(127.5).round() - clean.add(1).mul(127.5))[:, hole[0] > 0]
                scores[name].append(float(10 * torch.log10(255**2 / error.square().mean())))
            if i == 0 and options.sheet:
                sheet.append(torch.cat([seen, results["Telea"], results[options.model], clean], dim=2))
        share = float(np.mean([(cv2.imread(str(p), 0) < 128).mean() for p in masks]))
        share = share if options.white == "keep" else 1 - share
        rows.append([kind, f"{share:.0%}", *(f"{np.mean(values):.2f}" for values in scores.values())])
    if options.sheet:
        images.write(images.Photo(torch.cat(sheet, dim=1)), options.sheet, overwrite=True)
    print(describe(options.device))
    print(f"{len(photos)} images, {options.steps or restorer.recipe.sampler.steps} steps\n")
    print(table(["masks", "lost", *methods], rows))


if __name__ == "__main__":
    main()
