"""Time making degraded images against a training step of the default network, in one run.

    python scripts/bench/degradations.py --steps 6

A step is one of the default network: 8 regions of 256 pixels are degraded, 32 patches of 64 are trained on.
Every degradation makes the same 8 regions; the two sides take turns, so that a busy machine slows both alike, and CPU
seconds are counted, which neighbours on the machine do not change. The column `share` is the part of a whole step
(degradation included) that the degradation takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import skimage.data
import torch

from restore.contracts import Condition
from restore.degradations import Mixture, Random
from restore.degradations.names import FIXED, named
from restore.models.recipe import Recipe
from restore.tasks import Colorization, Compression, Inpainting, SuperResolution, Uncropping
from restore.training.config import load_train_config
from restore.training.objective import Batch, Setting

REGIONS, REGION, PATCHES, PATCH = 8, 256, 32, 64
MORE = ("bicubic-x2", "bicubic-x4", "bicubic-x8", "blind-x4")


def regions() -> torch.Tensor:
    """Return (8, 3, 256, 256) regions of a photograph in [0, 1]."""
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1).float() / 255
    corners = torch.randint(0, 512 - REGION, (REGIONS, 2), generator=torch.Generator().manual_seed(0)).tolist()
    return torch.stack([photograph[:, y : y + REGION, x : x + REGION] for y, x in corners])


def training_step(recipe: Recipe) -> Callable[[], None]:
    """Return what does forward pass, loss, backward pass and optimizer step of one batch."""
    config = load_train_config("weather")
    network = recipe.network.build().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    generator, setting = torch.Generator().manual_seed(0), Setting(network, recipe.parameterization())
    loss = config.objective.build(setting)
    x0 = torch.rand(PATCHES, 3, PATCH, PATCH) * 2 - 1
    size = recipe.tiles.context
    small = torch.rand(PATCHES, 3, size, size) if size else None
    condition = Condition(x0.clone(), torch.zeros(PATCHES, dtype=torch.int64), small, box=torch.rand(PATCHES, 4))

    def step() -> None:
        loss(Batch(x0, condition, generator)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def degrade(make: Callable[..., object], clean: torch.Tensor) -> object:
    """Return what `make` makes of the regions, each with its own seed."""
    return make(clean, Random(range(REGIONS)), None)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="how often each side is measured")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clean, step = regions(), training_step(load_train_config("weather").model)
    weather = load_train_config("weather").data.degradation
    makers: dict[str, Callable[[], object]] = {
        "mixture of training": lambda: weather.sample(clean, Random(range(REGIONS)))
    }
    for name in (*FIXED, *MORE):
        makers[name] = partial(degrade, named(name), clean)
    for task in (Inpainting(), Uncropping(), SuperResolution(), Colorization(), Compression()):
        makers[f"task {task.kind}"] = partial(degrade, task.examples(Mixture()), clean)
    for work in (step, *makers.values()):
        work()
    steps, found = [], {name: [] for name in makers}
    for _ in range(arguments.steps):
        steps.append(cpu_seconds(step))
        for name, work in makers.items():
            found[name].append(cpu_seconds(work))
    base = statistics.median(steps)
    shares = {name: statistics.median(times) / (base + statistics.median(times)) for name, times in found.items()}
    if arguments.json:
        print(json.dumps({"step_seconds": base, "shares": shares}, indent=2))
        return
    print(f"one training step: {base:.3f} s of CPU")
    for name, share in shares.items():
        print(f"{name:26s} {1000 * statistics.median(found[name]):8.1f} ms  share {100 * share:5.1f} %")


if __name__ == "__main__":
    main()
