"""Quality against cost: what grids, steps and samplers give, in dB, and take, in operations of the network.

    python scripts/bench/quality.py KODAK_FOLDER                  # two hours on two quiet cores: whole images
    python scripts/bench/quality.py KODAK_FOLDER --crop 256 --images 6   # ten minutes
    python scripts/bench/quality.py KODAK_FOLDER --crop 192 --images 1 --ways "model's own" "whole, 1" --weather rain

Images are degraded by the project's own weather, one seed each, and restored in each way with the same noise. The
columns: network operations for an image; PSNR of RGB in dB, the mean over weather and images; how far the mean
colour has moved and how far colours are off (CIEDE2000); and how much steeper the restored image is at the borders of
tiles than elsewhere, relative to the same places of the image restored untiled by the same sampler (1 is no seam; up
to four steps; `-` for grids that lie elsewhere at every step, whose borders are nowhere in particular).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from machine import describe, table
from torch import Tensor

from restore import images
from restore.degradations import Mixture, Random
from restore.denoisers.tiles import Tiles, grid
from restore.evaluation.metrics import color_shift, delta_e, psnr
from restore.restoration.plan import Speed, predict
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, DPMSolver, SamplerSpec

WEATHER = ("rain", "snow", "haze", "rain+haze", "raindrop")
NO_SPEED = Speed({(1, 64, 64): (1.0, 1.0)})


def ways(own: Tiles, sampler: SamplerSpec) -> dict[str, tuple[Tiles, SamplerSpec]]:
    """Return the ways to restore that are compared, by name."""

    def cut(**changes: object) -> Tiles:
        return Tiles.model_validate({**own.model_dump(), **changes})

    published = cut(grid="weatherdiffusion", size=64, stride=16, overlap=0, window="uniform", batch=16)
    shifted = cut(grid="shifted", size=64, stride=None, overlap=8, batch=16)
    whole = cut(grid="whole", size=2048, stride=None, overlap=0, batch=1)
    found: dict[str, tuple[Tiles, SamplerSpec]] = {
        "model's own": (own, sampler),
        "model's own, guarded": (cut(guard=1.0), sampler),
        "model's own, no thumbnail": (cut(context=0), sampler),
        "published r=16, 25": (published, DDIM(steps=25)),
        "published r=16, 1": (published, DDIM(steps=1)),
    }
    for size, overlap in ((512, 16), (256, 64), (256, 32), (256, 8), (128, 32), (128, 8), (64, 8)):
        found[f"tiles of {size}, overlap {overlap}"] = cut(size=size, overlap=overlap, batch=4), sampler
    found["tiles of 128, overlap 8, guarded"] = cut(size=128, overlap=8, batch=4, guard=1.0), sampler
    for steps in (1, 2, 4, 10, 25):
        found[f"shifted 64, {steps}"] = shifted, DDIM(steps=steps)
    for steps in (1, 2, 4, 10, 25):
        found[f"whole, {steps}"] = whole, DDIM(steps=steps)
    for steps in (2, 4, 10, 25):
        found[f"whole, DPM-Solver++ {steps}"] = whole, DPMSolver(steps=steps)
    return found


def weather_options(
    description: str | None,
    photos: int = 24,
    crop: int = 0,
    severity: float | None = None,
    weather: Sequence[str] = WEATHER,
) -> argparse.ArgumentParser:
    """Return the options of a benchmark on photographs in made weather: those of `pairs`, the model and the device."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--model", default="weather")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=photos)
    parser.add_argument("--crop", type=int, default=crop, help="side of the middle that is taken; 0 for all")
    parser.add_argument("--weather", nargs="+", choices=WEATHER, default=weather)
    drawn = "drawn by default" if severity is None else f"{severity} by default"
    parser.add_argument("--severity", type=float, default=severity, help=f"of the weather, 0 to 1; {drawn}")
    return parser


def opened(options: argparse.Namespace) -> Restorer:
    """Return the model of `weather_options`, by its name or its file.

    Raises:
        SystemExit: it knows no label for one of the kinds of weather.
    """
    restorer = Restorer.from_pretrained(options.model, options.device)
    if strange := [label for label in options.weather if label not in restorer.recipe.labels]:
        known = ", ".join(label for label in WEATHER if label in restorer.recipe.labels) or "none"
        raise SystemExit(f"model {options.model} has no label for {', '.join(strange)}; --weather takes {known}")
    return restorer


def photographs(options: argparse.Namespace) -> list[Path]:
    """Return the files of `weather_options`, no more of them than were asked for."""
    return images.list_images([options.folder])[: options.images]


def pairs(options: argparse.Namespace) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (label, degraded, clean), each (1, 3, H, W) in [0, 1] and rounded to 8 bit."""
    parts = Mixture().parts()
    for i, path in enumerate(photographs(options)):
        clean = images.read(path).pixels[None].add(1).div_(2)
        if options.crop:
            top, left = ((side - min(side, options.crop)) // 2 for side in clean.shape[-2:])
            clean = clean[..., top : top + options.crop, left : left + options.crop].contiguous()
        for label in options.weather:
            degraded = parts[label](clean, Random([1000 + i]), options.severity)
            yield label, degraded.mul(255).round_().div_(255), clean


def borders(tiles: Tiles, height: int, width: int, halo: int | None) -> tuple[list[int], list[int]]:
    """Return the rows and columns where a tile of a grid that does not move begins or ends inside the image."""
    placed = grid(tiles, height, width, halo)
    rows = {edge for tile in placed for edge in (tile.rows.kept.start, tile.rows.kept.stop)} - {0, height}
    columns = {edge for tile in placed for edge in (tile.columns.kept.start, tile.columns.kept.stop)} - {0, width}
    return sorted(rows), sorted(columns)


def steepness(image: Tensor, edges: tuple[list[int], list[int]]) -> tuple[float, float]:
    """Return the mean absolute step between neighbours across tile borders, and elsewhere."""
    across, elsewhere = [], []
    for axis, places in zip((-2, -1), edges, strict=True):
        step = image.diff(dim=axis).abs().mean(dim=tuple(d for d in range(4) if d != 4 + axis))
        at = torch.zeros(len(step), dtype=torch.bool)
        at[[place - 1 for place in places]] = True
        across.append(step[at])
        elsewhere.append(step[~at])
    return float(torch.cat(across).mean()), float(torch.cat(elsewhere).mean())


def main() -> None:
    parser = weather_options(__doc__)
    parser.add_argument("--ways", nargs="+", help="names from the table; all by default")
    parser.add_argument("--blind", action="store_true", help="do not tell the model what weather it is")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    restorer = opened(options)
    found = {k: v for k, v in ways(restorer.tiles(), restorer.recipe.sampler).items() if k in (options.ways or [k])}
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("degraded", *found)}
    tflop: dict[str, float] = {"degraded": 0.0}
    whole = restorer.tiles().model_copy(update={"grid": "whole", "size": 4096, "batch": 1, "guard": 0.0})
    for label, degraded, clean in pairs(options):
        given = restorer.recipe.labels[0] if options.blind else label
        height, width = clean.shape[-2:]
        true, untiled = clean.mul(255), {}

        def restored(tiles: Tiles, sampler: SamplerSpec, degraded: Tensor = degraded, given: str = given) -> Tensor:
            settings = Settings(label=given, sampler=sampler, tiles=tiles)
            return restorer.posterior(degraded[0] * 2 - 1, settings).mean[None].add(1).mul(127.5).round_()

        scores["degraded"].append((float(psnr(degraded * 255, true)), *_colours(degraded * 255, true), 1.0))
        for name, (tiles, sampler) in found.items():
            tflop[name] = predict(restorer, tiles, sampler, height, width, NO_SPEED).tflop
            moves = len(tiles.places(height)) * len(tiles.places(width)) > 1
            image, seam = restored(tiles, sampler), math.nan if moves else 1.0
            edges = borders(tiles, height, width, restorer.halo)
            if any(edges) and sampler.steps <= 4 and not moves:
                key = sampler.model_dump_json()
                untiled[key] = untiled[key] if key in untiled else restored(whole, sampler)
                (a, b), (c, d) = steepness(image, edges), steepness(untiled[key], edges)
                seam = (a / b) / (c / d)
            scores[name].append((float(psnr(image, true)), *_colours(image, true), seam))
    most = max(tflop.values())
    rows = []
    for name, values in scores.items():
        mean = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
        fewer = f"{most / tflop[name]:.0f}" if tflop[name] else ""
        seam = "-" if math.isnan(mean[3]) else f"{mean[3]:.3f}"
        rows.append([name, tflop[name], fewer, f"{mean[0]:.3f}", f"{mean[1]:.2f}", f"{mean[2]:.2f}", seam])
    print(describe(options.device))
    told = "not told the weather" if options.blind else "told the weather"
    number, crop = len(photographs(options)), options.crop or "none"
    print(f"{number} images, crop {crop}, {', '.join(options.weather)}, {told}\n")
    print(table(["way", "TFLOP", "times fewer", "PSNR", "colour shift", "CIEDE2000", "seam"], rows))


def _colours(a: Tensor, b: Tensor) -> tuple[float, float]:
    return float(color_shift(a, b)), float(delta_e(a, b))


if __name__ == "__main__":
    main()
