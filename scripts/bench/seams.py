"""What tiles leave in smooth images: bands of brightness where they meet, which no step between pixels gives away.

    python scripts/bench/seams.py HAZY_PHOTO --task dehaze            # a minute on two cores
    python scripts/bench/seams.py HAZY_PHOTO --task dehaze --megapixels 3 --tiles 512/32 1024/256

The photograph is enlarged, restored in tiles and restored as if it were one (`--grid whole`). Of the difference,
averaged over 512 rows or columns, the table gives the largest change within 64 pixels, in grey levels: what the eye
takes for a band. The time is relative to the first way.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from machine import describe, table
from torch import Tensor

from restore import images
from restore.denoisers.tiles import Tiles
from restore.restoration.plan.choice import whole
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings

REACH, LINES = 64, 512


def change(difference: Tensor, axis: int) -> float:
    """Return the largest change within 64 pixels along an axis of (H, W), of means over 512 lines across it."""
    lines = difference if axis == 1 else difference.T
    means = F.avg_pool2d(lines[None, None], (min(LINES, len(lines)), 8), (LINES // 4, 8))[0, 0]
    step = REACH // 8
    return float((means[:, step:] - means[:, :-step]).abs().max())


def rms(difference: Tensor) -> float:
    """Return the root of the mean square of (H, W): a shift of the whole counts, too."""
    return float(difference.square().mean().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo")
    parser.add_argument("--task", default="dehaze")
    parser.add_argument("--model", default="weather")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--megapixels", type=float, default=6.0)
    parser.add_argument(
        "--tiles", nargs="+", default=["512/32", "512/128", "1024/96", "1024/128", "1024/256"], metavar="SIZE/OVERLAP"
    )
    options = parser.parse_args()
    restorer = Restorer.from_pretrained(options.model, options.device)
    own = restorer.recipe.tiles
    image = images.read(options.photo).pixels[None]
    scale = (options.megapixels * 1e6 / image[0, 0].numel()) ** 0.5
    image = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False).clamp_(-1, 1)[0]
    ways = {"whole": whole(own)}
    for tiles in options.tiles:
        size, overlap = map(int, tiles.split("/"))
        ways[tiles] = Tiles(**{**own.model_dump(), "size": size, "overlap": overlap})
    found, seconds = {}, {}
    for name, tiles in ways.items():
        start = time.perf_counter()
        found[name] = restorer.posterior(image, Settings(task=options.task, tiles=tiles)).mean.mean(0) * 127.5
        seconds[name] = time.perf_counter() - start
    first = options.tiles[0]
    rows = []
    for name in options.tiles:
        difference = found[name] - found["whole"]
        across = max(change(difference, 0), change(difference, 1))
        rows.append([name, f"{across:.1f}", f"{rms(difference):.1f}", f"{seconds[name] / seconds[first]:.2f}"])
    rows.append(["whole", "0", "0", f"{seconds['whole'] / seconds[first]:.2f}"])
    print(describe(options.device))
    print(f"{image.shape[-1]}x{image.shape[-2]}, {options.task}, {torch.get_num_threads()} threads\n")
    print(table(["tiles/overlap", "largest change, grey levels", "difference, rms", "time"], rows))


if __name__ == "__main__":
    main()
