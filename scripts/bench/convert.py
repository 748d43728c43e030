"""Time and memory of converting a file of WeatherDiff64's size, and of loading what comes out.

The file has random weights, their average, and the state of Adam: about 1.3 GB, as the published one. It is written to
a temporary folder and deleted. Usage: `python scripts/bench/convert.py [--folder DIR] [--json]`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from restore.models.find import model_card
from restore.models.published.convert import to_original
from restore.models.published.family import Identified
from restore.models.published.weather_diffusion import WeatherDiffusion

CONVERT = """
import sys, time
from pathlib import Path
from restore.models import native, published
start = time.perf_counter()
print(published.convert(Path(sys.argv[1]), Path(sys.argv[2])).summary())
print("seconds", time.perf_counter() - start)
"""
LOAD = """
import sys, time
from pathlib import Path
from restore.models import native, published
from restore.models.recipe import Recipe
start = time.perf_counter()
opened = published.open_checkpoint(Path(sys.argv[1]))
native.assemble(Recipe(**opened.recipe).network.build, opened.tensors, sys.argv[1])
print("seconds", time.perf_counter() - start)
"""


def write(path: Path) -> int:
    """Write the file and return its size in bytes."""
    spec = model_card("weatherdiff64").recipe.network
    state = to_original(
        Identified("weather_diffusion", spec, WeatherDiffusion().keymap(spec), {}, 64), spec.build().state_dict()
    )
    adam = {
        i: {"step": 1, "exp_avg": torch.zeros_like(v), "exp_avg_sq": torch.zeros_like(v)}
        for i, v in enumerate(state.values())
    }
    data = argparse.Namespace(dataset="AllWeather", image_size=64, conditional=True)
    content = {
        "epoch": 1,
        "step": 1,
        "state_dict": {f"module.{name}": torch.randn_like(value) for name, value in state.items()},
        "optimizer": {"state": adam, "param_groups": [{"lr": 2e-5, "params": list(adam)}]},
        "ema_helper": state,
        "params": argparse.Namespace(seed=61),
        "config": argparse.Namespace(data=data, device=torch.device("cpu")),
    }
    torch.save(content, path)
    return path.stat().st_size


def measured(program: str, *paths: Path) -> tuple[float, float]:
    """Return seconds (without imports) and peak GB of a program in a process of its own."""
    # the high-water mark of this very process; getrusage inherits that of its parent, which made the file
    code = program + "\nprint('peak', next(x for x in open('/proc/self/status') if x.startswith('VmHWM')).split()[1])\n"
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, capture_output=True, text=True)
    print(done.stdout, file=sys.stderr)
    values = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("seconds", "peak")))
    return float(values["seconds"]), float(values["peak"]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the large file goes for the time being")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, out = Path(folder) / "WeatherDiff64.pth.tar", Path(folder) / "out.safetensors"
        start = time.perf_counter()
        size = write(source)
        print(f"wrote {size / 1e9:.2f} GB in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        convert_seconds, convert_peak = measured(CONVERT, source, out)
        load_seconds, load_peak = measured(LOAD, out)
        result = {
            "file_gb": round(size / 1e9, 2),
            "converted_gb": round(out.stat().st_size / 1e9, 2),
            "convert_seconds": round(convert_seconds, 1),
            "convert_peak_gb": round(convert_peak, 2),
            "load_seconds": round(load_seconds, 2),
            "load_peak_gb": round(load_peak, 2),
        }
    for key, value in result.items():
        print(f"{key:16} {value}") if not options.json else None
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
