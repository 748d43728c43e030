"""The patch engine against a plain rendering of the published algorithm, with the same network, weights and noise.

    python scripts/bench/patches.py                             # about 15 minutes on two quiet cores
    python scripts/bench/patches.py --sizes 160x128 --steps 2   # half a minute, to see that it runs
    python scripts/bench/patches.py --compile --device cuda     # more contestants, another machine

The rival keeps all crops in one list, evaluates the network in chunks of 64, adds what it predicts back in a Python
loop, recomputes everything at each step and keeps all steps. Both take the grid of stride 16 and take turns step by
step, so that a busy machine slows both alike. Memory is measured apart, each in a process of its own: the most resident
bytes beyond those with the model loaded, after one evaluation of the network has warmed up its libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import torch
from machine import describe, forget_peak, status, table, timed
from torch import Tensor

from restore.contracts import Condition
from restore.denoisers.tiles import Tiles, compiled, thumbnail
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM
from restore.system.devices import fast_dtype
from restore.tasks import Prepared

PATCH, CHUNK = 64, 64


def plain(restorer: Restorer, degraded: Tensor, stride: int, steps: int) -> Iterator[Tensor]:
    """Yield x_t after each step of the published algorithm, as one would write it down."""
    schedule, tiles = restorer.schedule, restorer.recipe.tiles
    denoise = restorer.parameterization.denoiser(restorer.network, restorer.dtype)
    levels = schedule.steps(steps, "trailing")
    height, width = degraded.shape[-2:]
    corners = [(y, x) for y in range(0, height - PATCH + 1, stride) for x in range(0, width - PATCH + 1, stride)]
    boxes = torch.tensor([(y / height, x / width, (y + PATCH) / height, (x + PATCH) / width) for y, x in corners])
    count = torch.zeros_like(degraded)
    for y, x in corners:
        count[..., y : y + PATCH, x : x + PATCH] += 1
    x_t = torch.randn(degraded.shape, generator=torch.Generator().manual_seed(0)).to(degraded)
    kept, estimates = [x_t], []
    for t, u in pairwise(levels):
        crops = torch.cat([x_t[..., y : y + PATCH, x : x + PATCH] for y, x in corners])
        given = torch.cat([degraded[..., y : y + PATCH, x : x + PATCH] for y, x in corners])
        outputs = []
        for i in range(0, len(crops), CHUNK):
            crop = crops[i : i + CHUNK]
            n = len(crop)
            small = thumbnail(degraded, tiles.context).expand(n, -1, -1, -1) if tiles.context else None
            label = torch.zeros(n, dtype=torch.int64, device=degraded.device)
            condition = Condition(given[i : i + n], label, small, box=boxes[i : i + n].to(degraded))
            outputs.append(denoise(crop, schedule.level(t, n, degraded.device), condition).x0)
        total = torch.zeros_like(x_t)
        for (y, x), output in zip(corners, torch.cat(outputs), strict=True):
            total[..., y : y + PATCH, x : x + PATCH] += output
        x0 = (total / count).clamp(-1, 1)
        a, s = float(schedule.alpha_bar[t].sqrt()), float((1 - schedule.alpha_bar[t]).sqrt())
        x_t = float(schedule.alpha_bar[u].sqrt()) * x0 + float((1 - schedule.alpha_bar[u]).sqrt()) * (x_t - a * x0) / s
        kept.append(x_t)
        estimates.append(x0)
        yield x_t


@torch.no_grad()
def engine(restorer: Restorer, degraded: Tensor, tiles: Tiles, steps: int) -> Iterator[Tensor]:
    """Yield x_t after each step of ours."""
    settings = Settings(sampler=DDIM(steps=steps), tiles=tiles)
    for step in restorer.stream(Prepared(degraded), settings):
        yield step.x_t


def contestant(name: str, restorer: Restorer, options: argparse.Namespace, degraded: Tensor) -> Iterator[Tensor]:
    """Return the steps of a contestant; the names are the table's."""
    degraded = degraded.to(restorer.device)
    tiles = Tiles(
        grid="weatherdiffusion",
        size=PATCH,
        stride=options.stride,
        overlap=0,
        batch=options.batch,
        window="uniform",
        multiple=restorer.recipe.tiles.multiple,
        context=restorer.recipe.tiles.context,
    )
    if name == "plain loop":
        return torch.no_grad()(plain)(restorer, degraded, options.stride, options.steps)
    if name == "engine, fast type":
        restorer = replace(restorer, network=deepcopy(restorer.network), dtype=fast_dtype(restorer.device))
    if name == "engine, compiled":
        restorer = replace(restorer, network=compiled(restorer.network, options.batch))
    return engine(restorer, degraded, tiles, options.steps)


def image(size: str) -> Tensor:
    """Return a smooth (1, 3, H, W) image with some noise; what it shows changes no time and no memory."""
    width, height = (int(side) for side in size.split("x"))
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return (smooth + 0.05 * torch.randn(smooth.shape)).clamp(0, 1) * 2 - 1


def memory(name: str, options: argparse.Namespace) -> int:
    """Return the most bytes that a contestant needs beyond its loaded model; runs in a process of its own."""
    restorer = Restorer.from_pretrained(options.model, device=options.device, dtype=torch.float32)
    next(contestant(name, restorer, options, image(f"{PATCH}x{PATCH}")))
    steps = contestant(name, restorer, options, image(options.sizes[0]))
    if options.device.startswith("cuda"):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    else:
        before = forget_peak()
    for _ in steps:
        pass
    return (torch.cuda.max_memory_allocated() if options.device.startswith("cuda") else status("VmHWM")) - before


def race(names: list[str], options: argparse.Namespace, size: str) -> list[list[object]]:
    """Return a row for each contestant: time, peak memory, and how far it is from the plain loop."""
    degraded = image(size)
    results: dict[str, Tensor] = {}
    seconds = dict.fromkeys(names, 0.0)
    restorer = Restorer.from_pretrained(options.model, device=options.device, dtype=torch.float32)
    for name in names:
        next(contestant(name, restorer, options, image(f"{PATCH}x{PATCH}")))  # libraries warmed up
    runs = {name: contestant(name, restorer, options, degraded) for name in names}

    def advance(name: str) -> None:
        results[name] = next(runs[name])

    for step in range(options.steps):
        for name in names if step % 2 else reversed(names):
            seconds[name] += timed(lambda name=name: advance(name), options.device)
    rows: list[list[object]] = []
    peaks = {name: peak(name, options, size) for name in names}
    for name in names:
        difference = results[name] - results[names[0]]
        psnr = 10 * torch.log10(4 / difference.square().mean().clamp(min=1e-20)).item()
        rows.append(
            [
                size,
                name,
                f"{seconds[name]:.1f} s",
                f"{seconds[name] / seconds[names[0]]:.2f}",
                f"{peaks[name] / 1e6:.0f} MB",
                f"{peaks[name] / peaks[names[0]]:.3f}",
                f"{difference.abs().max().item():.1e}",
                f"{psnr:.0f} dB",
            ]
        )
    return rows


def peak(name: str, options: argparse.Namespace, size: str) -> int:
    """Return what `memory` says in a fresh process; a few steps show the peak, but for the steps that are kept."""
    steps = ["--steps", str(options.steps if name == "plain loop" and options.full else min(2, options.steps))]
    command = [sys.executable, __file__, "--model", options.model, "--device", options.device, "--sizes", size]
    command += ["--batch", str(options.batch), "--stride", str(options.stride), "--threads", str(options.threads)]
    found = subprocess.run([*command, *steps, "--memory-of", name], capture_output=True, text=True, check=True)
    measured = int(found.stdout.split()[-1])
    if name == "plain loop" and not options.full:
        width, height = (int(side) for side in size.split("x"))
        measured += 2 * (options.steps - min(2, options.steps)) * 3 * width * height * 4
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="weather")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["480x320", "720x480"])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--full", action="store_true", help="measure the rival's memory over all steps, not two")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(memory(options.memory_of, options))
        return
    names = ["plain loop", "engine"]
    if fast_dtype(torch.device(options.device)) is not torch.float32:
        names.append("engine, fast type")
    if options.compile:
        names.append("engine, compiled")
    rows = [row for size in options.sizes for row in race(names, options, size)]
    print(f"\n{describe(options.device)}; stride {options.stride}, {options.steps} steps, batch {options.batch}\n")
    header = ["size", "contestant", "time", "ratio", "peak memory", "ratio", "largest difference", "PSNR to plain loop"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
