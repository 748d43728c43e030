"""How time and memory grow with the image, and whether the planner predicted them.

    python scripts/bench/growth.py                        # three minutes on two quiet cores: 0.25 to 24 megapixels
    python scripts/bench/growth.py --megapixels 0.1 0.25  # to see that it runs

Each size runs in a process of its own: the planner is asked first, then the image is restored as `restore run` does,
without reading and writing it. Memory is the most resident bytes of the whole process, model and libraries included.
The exponent is the slope of log time over log pixels. The planner is to be within 30 % of what then happens.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time

import numpy as np
import torch
from machine import describe, forget_peak, status, table

from restore.restoration.plan import calibrated, predict
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings


def measure(options: argparse.Namespace, megapixels: float) -> dict[str, float]:
    """Return what was predicted and what happened for one size."""
    height = round(math.sqrt(megapixels * 1e6 / 1.5))
    width = round(height * 1.5)
    restorer = Restorer.from_pretrained(options.model, device=options.device)
    changes = {"size": options.patch, "overlap": options.overlap, "batch": options.batch}
    changes = {key: value for key, value in changes.items() if value is not None}
    if options.patch and options.overlap is None:
        changes["overlap"] = restorer.tiles().overlap_of(options.patch)
    tiles = restorer.tiles().model_copy(update=changes)
    settings = Settings(steps=options.steps, tiles=tiles)
    speed = calibrated(restorer, height, width, tiles=tiles)
    plan = predict(restorer, tiles, restorer.sampler(settings), height, width, speed)
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)).mul_(2).sub_(1)
    forget_peak()
    cuda = restorer.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    restorer.posterior(image, settings)
    seconds = time.perf_counter() - start
    return {
        "width": width,
        "height": height,
        "tflop": plan.tflop,
        "predicted_seconds": plan.seconds,
        "seconds": seconds,
        "predicted_bytes": plan.memory,
        "bytes": torch.cuda.max_memory_allocated() if cuda else status("VmHWM"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="weather")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 0.39, 1, 3, 6, 12, 24])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--patch", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps(measure(options, options.only)))
        return
    found = []
    for megapixels in options.megapixels:
        command = [sys.executable, __file__, "--model", options.model, "--device", options.device]
        command += ["--threads", str(options.threads), "--only", str(megapixels)]
        for name in ("steps", "patch", "overlap", "batch"):
            value = getattr(options, name)
            command += [] if value is None else [f"--{name}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    rows = [
        [
            f"{f['width']}x{f['height']}",
            f["width"] * f["height"] / 1e6,
            f["tflop"],
            f"{f['seconds']:.2f} s",
            f"{f['predicted_seconds'] / f['seconds']:.2f}",
            f"{f['bytes'] / 1e6:.0f} MB",
            f"{f['predicted_bytes'] / f['bytes']:.2f}",
        ]
        for f in found
    ]
    print(describe(options.device), "\n")
    header = ["size", "megapixels", "TFLOP", "time", "predicted / measured", "peak memory", "predicted / measured"]
    print(table(header, rows))
    if len(found) > 1:
        pixels, seconds = np.log([(f["width"] * f["height"], f["seconds"]) for f in found]).T
        print(f"\ntime grows with the number of pixels to the power of {np.polyfit(pixels, seconds, 1)[0]:.3f}")


if __name__ == "__main__":
    main()
