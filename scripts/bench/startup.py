"""How long `restore run` takes to begin: the whole command without the network's own time, against `import torch`.

    python scripts/bench/startup.py --runs 7

A photograph of scikit-image, cut to 128 x 128 and rained on by the project's own rain, is restored by a fresh process
each time, with `--task derain` and with `--task auto`. The contestants take turns, so that a busy machine slows all
alike, and each table row is a median. The network's own time is that of the outermost modules (a detector's, too),
measured in further runs of the same command, so that the commands that are timed are what a user types.

Byte code is written once, as where a package is installed. The processor's time is less disturbed by others on the
machine than the clock's. With more than one thread, the network's own seconds count several times in it: set
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from machine import describe, table
from PIL import Image
from skimage import data

from restore.degradations import Rain, Random

TASKS = ("derain", "auto")

OWN_TIME = """
import sys, time
from torch import nn
from restore.cli import main

inner, seconds, called = False, 0.0, nn.Module.__call__

def call(module, *args, **kwargs):
    global inner, seconds
    if inner:
        return called(module, *args, **kwargs)
    inner, start = True, time.perf_counter()
    try:
        return called(module, *args, **kwargs)
    finally:
        inner, seconds = False, seconds + time.perf_counter() - start

nn.Module.__call__ = call
try:
    main()
except SystemExit as left:
    if left.code:
        raise
print(seconds, file=sys.stderr)
"""
"""The command, and what its networks take, in seconds, as the last line of stderr."""


class Spent(NamedTuple):
    """Seconds of a process, by the clock and by the processor."""

    wall: float
    cpu: float


def rainy(folder: Path) -> Path:
    """Write a small photograph with rain on it, and return its path."""
    clean = torch.from_numpy(data.astronaut()[20:148, 160:288].copy()).permute(2, 0, 1)[None].float() / 255
    rain = Rain()(clean, Random([7]), 0.7)
    path = folder / "rain.png"
    Image.fromarray((rain[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def run(arguments: Sequence[str], byte_code: Path) -> tuple[Spent, str]:
    """Return what a process of this interpreter took, and what it wrote on stderr; its byte code lies in a folder.

    Raises:
        SystemExit: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(byte_code)
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=errors, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments[-8:])} failed: {said}")
    return Spent(wall, used.ru_utime + used.ru_stime), said


def measured(folder: Path, runs: int) -> tuple[dict[str, list[Spent]], dict[str, list[float]]]:
    """Return what each process took, and the networks' own seconds of each task; the first turn is not counted."""
    spent: dict[str, list[Spent]] = defaultdict(list)
    own: dict[str, list[float]] = defaultdict(list)
    image, output, byte_code = rainy(folder), folder / "restored.png", folder / "byte_code"
    for _ in range(runs + 1):
        spent["torch"].append(run(["-c", "import torch"], byte_code)[0])
        for task in TASKS:
            command = ["run", str(image), "-o", str(output), "--task", task, "--on-exists", "overwrite"]
            spent[task].append(run(["-m", "restore", *command], byte_code)[0])
            own[task].append(float(run(["-c", OWN_TIME, *command], byte_code)[1].splitlines()[-1]))
    return {name: found[1:] for name, found in spent.items()}, {name: found[1:] for name, found in own.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="of each process, one more not counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent, own = measured(Path(folder), options.runs)
    base = Spent(*(median(column) for column in zip(*spent["torch"], strict=True)))
    rows: list[list[str]] = [["python -c 'import torch'", f"{base.wall:.2f}", f"{base.cpu:.2f}", "", "1", "1"]]
    for task in TASKS:
        wall, cpu = (median(column) for column in zip(*spent[task], strict=True))
        network = median(own[task])
        ratios = (wall - network) / base.wall, (cpu - network) / base.cpu
        cells = [f"{wall:.2f}", f"{cpu:.2f}", f"{network:.2f}", *(f"{ratio:.2f}" for ratio in ratios)]
        rows.append([f"restore run --task {task}", *cells])
    print(describe())
    header = ["command", "s", "processor's s", "network's own s", "ratio without it", "by the processor's time"]
    print(f"medians of {options.runs} runs\n\n" + table(header, rows))


if __name__ == "__main__":
    main()
