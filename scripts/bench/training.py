"""Training speed: patches a second, and the share of the time that goes into data and degradation.

    python scripts/bench/training.py weather 'data.folders=[PHOTOGRAPHS]'              # a minute a stage
    python scripts/bench/training.py weather 'data.folders=[PHOTOGRAPHS]' --steps 2    # to see that it runs

Each stage of the run is timed in three parts: reading and decoding regions, degrading and cutting them, and the update
of the network (forward, backward, optimizer, average). Then loading alone: how many regions a second come from decoded
images in memory, and from files that are decoded each time. Nothing is written.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from statistics import median

import torch
from machine import describe, table

from restore.training.batches import Batches
from restore.training.config import TrainConfig, load_train_config
from restore.training.trainer import Trainer


def loading(config: TrainConfig, count: int) -> list[list[str]]:
    """Return a row for each way to keep images: regions a second, the files' caching by the system included."""
    rows = []
    for name, memory in (("in memory", 2**16), ("streamed", 1e-3)):
        data = config.data.model_copy(update={"memory_mb": memory, "workers": 0})
        sampler = Batches(config.model_copy(update={"data": data}), torch.device("cpu"))
        regions = sampler.regions.make(0)[0].shape[0]
        start = time.perf_counter()
        for step in range(1, count + 1):
            sampler.regions.make(step)
        rows.append([name, f"{count * regions / (time.perf_counter() - start):.0f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_intermixed_args()
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        config = load_train_config(options.config, [*options.overrides, f"output={folder}/run"])
        trainer = Trainer(config, device=options.device)
        trainer.network.train()
        begins = [0, *(stage.until for stage in config.stages)]
        for begin, stage in zip(begins, config.stages, strict=False):
            reading, degrading, updating = [], [], []
            for step in range(begin, begin + options.steps + 1):
                start = time.perf_counter()
                trainer.batches.regions.make(step)
                read = time.perf_counter()
                batch = trainer.batches(step)
                made = time.perf_counter()
                trainer.step = step
                float(trainer._update(*batch))
                done = time.perf_counter()
                # making a batch reads again, from the same cache
                reading.append(read - start)
                degrading.append(max(0.0, (made - read) - (read - start)))
                updating.append(done - made)
            # the first step prepares what the others re-use
            parts = [median(part[1:]) for part in (reading, degrading, updating)]
            count, total = stage.regions * stage.patches, sum(parts)
            shares = [f"{part / total:.0%}" for part in parts]
            rows.append([f"{count} of {stage.patch}x{stage.patch}", f"{total:.2f} s", f"{count / total:.1f}", *shares])
        rates = loading(config, options.steps)
    print(describe(trainer.device), "\n")
    print(table(["batch", "a step", "patches a second", "reading", "degrading and cutting", "update"], rows), "\n")
    print(table([f"loading, regions of {config.region}x{config.region}", "images a second"], rates))


if __name__ == "__main__":
    main()
