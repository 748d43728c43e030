"""Quality and time against the number of steps, for each sampler: which default is right, and at what price.

    python scripts/figures/samplers.py weather --clean KODAK_FOLDER --output docs/figures/samplers
    python scripts/figures/samplers.py run/model.safetensors --pairs INPUT TARGET --crop 192 --images 4
    python scripts/figures/samplers.py --draw docs/figures/samplers.json --output docs/figures/samplers

Writes OUTPUT.json (every number) and OUTPUT.svg (PSNR, LPIPS where its backbone is there, and seconds an image). Clean
images are degraded by the project's own weather; every way starts from the same noise. `--draw` draws numbers that
were measured before.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore import images
from restore.data.files import image_files
from restore.degradations import Mixture, Random
from restore.errors import MissingResource
from restore.evaluation.metrics import lpips, psnr
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, Ancestral, Consistency, DPMSolver, Langevin, Sampler
from restore.tasks import Prepared

STEPS = (1, 2, 4, 8, 16, 32, 64)
PANELS = (("psnr", "PSNR in dB"), ("lpips", "LPIPS"), ("seconds", "seconds an image"))
COLOURS = ("#2f6fb7", "#b3401f", "#3d8b4f", "#8a5aa8", "#c08a1e", "#4b5563", "#1a9c9c")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 400, 300, 52, 28, 44


def ways() -> dict[str, tuple[type[Sampler], dict[str, Any]]]:
    """Return the samplers that are compared, by name."""
    return {
        "DDIM": (DDIM, {}),
        "DDIM, eta 1": (DDIM, {"eta": 1.0}),
        "DDPM, beta": (Ancestral, {"variance": "beta"}),
        "DPM-Solver++ 2M": (DPMSolver, {"order": 2}),
        "DPM-Solver++ 3M": (DPMSolver, {"order": 3}),
        "consistency": (Consistency, {}),
        "Langevin": (Langevin, {"repeats": 1}),
    }


def degraded_images(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """Yield name, label, degraded and clean image, (3, H, W) in [-1, 1]."""

    def read(path: Path) -> Tensor:
        x = images.read(path).pixels
        h, w = (min(arguments.crop, side) // 16 * 16 for side in x.shape[1:])
        top, left = (x.shape[1] - h) // 2, (x.shape[2] - w) // 2
        return x[:3, top : top + h, left : left + w]

    if arguments.pairs:
        inputs, targets = (image_files(Path(folder)) for folder in arguments.pairs)
        for given, true in list(zip(inputs, targets, strict=True))[: arguments.images]:
            yield given.name, 0, read(given), read(true)
        return
    degradations = Mixture().parts()
    for i, path in enumerate(image_files(Path(arguments.clean))[: arguments.images]):
        clean = read(path)
        for name in arguments.weather:
            degraded = degradations[name](clean[None].add(1).div(2), Random([i], torch.device("cpu")), 0.6)
            yield f"{path.name} {name}", 0, degraded[0].mul(2).sub(1), clean


@torch.no_grad()
def measure(restorer: Restorer, sampler: Sampler, found: Sequence[tuple[str, int, Tensor, Tensor]]) -> dict[str, Any]:
    """Return the mean scores and the time of one way."""
    scores: dict[str, list[float]] = {"psnr": [], "lpips": []}
    start = time.perf_counter()
    results = [
        restorer.batch(Prepared(degraded[None]), Settings(sampler=sampler), labels=label, seeds=[0]).mean[0]
        for _, label, degraded, _ in found
    ]
    seconds = (time.perf_counter() - start) / len(found)
    for result, (_, _, _, clean) in zip(results, found, strict=True):
        ours, true = (x.clamp(-1, 1).add(1).mul(127.5).round() for x in (result.cpu(), clean))
        scores["psnr"].append(float(psnr(ours[None], true[None])))
        with suppress(MissingResource):  # without its backbone the panel stays away
            scores["lpips"].append(float(lpips(ours[None] / 127.5 - 1, true[None] / 127.5 - 1)))
    means = {name: sum(values) / len(values) for name, values in scores.items() if values}
    return {**means, "seconds": seconds, "evaluations": sampler.evaluations(restorer.schedule)}


def curve(points: Sequence[tuple[float, float]], colour: str, name: str) -> str:
    """Return a line through points, with a dot at each."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points)
    title = f"<title>{escape(name)}</title>"
    return f'<g>{title}<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>{dots}</g>'


def panel(rows: Sequence[dict[str, Any]], metric: str, title: str, offset: int) -> list[str]:
    """Return one panel: the metric against the evaluations of the network, on a logarithmic axis."""
    rows = [row for row in rows if metric in row]
    logarithmic = metric == "seconds"
    value = (lambda row: math.log10(row[metric])) if logarithmic else (lambda row: row[metric])
    values, most = [value(row) for row in rows], max(row["evaluations"] for row in rows)
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or 0.5
    low, high = low - margin, high + margin

    def x(n: float) -> float:
        return offset + LEFT + math.log2(n) / max(1.0, math.log2(most)) * (WIDTH - LEFT - 16)

    def y(v: float) -> float:
        return HEIGHT - BOTTOM - (v - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<text x="{offset + LEFT}" y="16" font-weight="600">{title}</text>']
    for i in range(5):
        v = low + (high - low) * i / 4
        shown = f"{10**v:.3g}" if logarithmic else f"{v:.3g}"
        parts.append(
            f'<line x1="{offset + LEFT}" x2="{offset + WIDTH - 12}" y1="{y(v):.1f}" y2="{y(v):.1f}" class="g"/>'
        )
        parts.append(f'<text x="{offset + LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{shown}</text>')
    for n in (2**i for i in range(int(math.log2(most)) + 1)):
        parts.append(f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{n}</text>')
    middle = offset + (LEFT + WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">evaluations of the network</text>')
    for i, name in enumerate(dict.fromkeys(row["sampler"] for row in rows)):
        points = sorted((x(row["evaluations"]), y(value(row))) for row in rows if row["sampler"] == name)
        parts.append(curve(points, COLOURS[i % len(COLOURS)], name))
    return parts


def draw(document: dict[str, Any]) -> str:
    """Return the whole figure as SVG."""
    rows = document["rows"]
    panels = [(metric, title) for metric, title in PANELS if any(metric in row for row in rows)]
    width = WIDTH * len(panels)
    style = "text{font:12px sans-serif;fill:#1d2630}.g{stroke:#e3e6ea}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 26}" width="{width}">',
        f"<style>{style}</style>",
        f'<rect width="{width}" height="{HEIGHT + 26}" fill="#fff"/>',
    ]
    for i, (metric, title) in enumerate(panels):
        parts += panel(rows, metric, title, i * WIDTH)
    for i, name in enumerate(dict.fromkeys(row["sampler"] for row in rows)):
        x = LEFT + i * (width - LEFT) / len(ways())
        parts.append(f'<circle cx="{x:.0f}" cy="{HEIGHT + 10}" r="4" fill="{COLOURS[i % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 8:.0f}" y="{HEIGHT + 14}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="weather")
    parser.add_argument("--clean", help="folder of clean images")
    parser.add_argument("--pairs", nargs=2, metavar=("INPUT", "TARGET"), help="folders with equal names")
    parser.add_argument("--weather", nargs="+", default=["rain", "snow", "haze"])
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--draw", type=Path, help="numbers that were measured before")
    parser.add_argument("--output", type=Path, default=Path("docs/figures/samplers"))
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    if arguments.draw:
        document = json.loads(arguments.draw.read_text(encoding="utf-8"))
    else:
        if bool(arguments.clean) == bool(arguments.pairs):
            parser.error("give either --clean or --pairs")
        restorer = Restorer.from_pretrained(arguments.model, device="cpu")
        found = list(degraded_images(arguments))
        restorer.posterior(found[0][2])  # the first call pays for what later ones find ready
        rows = []
        for name, (kind, options) in ways().items():
            for steps in arguments.steps:
                row = measure(restorer, kind(steps=steps, **options), found)
                rows.append({"sampler": name, "steps": steps, **row})
                print(json.dumps(rows[-1]), flush=True)
        document = {"model": arguments.model, "crop": arguments.crop, "images": len(found), "rows": rows}
        text = json.dumps(document, indent=1) + "\n"
        arguments.output.with_suffix(".json").write_text(text, encoding="utf-8")
    arguments.output.with_suffix(".svg").write_text(draw(document), encoding="utf-8")


if __name__ == "__main__":
    main()
