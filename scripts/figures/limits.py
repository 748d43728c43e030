"""Images of what each model that ships is bad at, for its card: what it was given, what it made of it, the truth.

    python scripts/figures/limits.py            # writes docs/limits/MODEL.jpg; a minute on two cores

The photographs are scikit-image's (their licences are in its `data/README.txt`), and no model was trained on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from restore import images
from restore.degradations import BlindResolution, Random
from restore.degradations.names import named
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
HEIGHT = 220

# model: (photograph, degradation, severity, task)
CASES: dict[str, list[tuple[str, str, float, str]]] = {
    "weather": [
        ("rocket", "haze", 1.0, "dehaze"),
        ("motorcycle_left", "raindrop", 1.0, "raindrop"),
    ],
    "inpaint": [("astronaut", "mask-center", 1.0, "inpaint"), ("coffee", "crop", 1.0, "uncrop")],
    "colorize": [("astronaut", "grayscale", 1.0, "colorize"), ("coffee", "grayscale", 1.0, "colorize")],
    "jpeg": [("chelsea", "jpeg-q5", 1.0, "jpeg")],
    "upscale_x2": [("chelsea", "blind-x2", 1.0, "upscale")],
    "upscale_x4": [("astronaut", "blind-x4", 1.0, "upscale")],
}


def strip(restorer: Restorer, name: str, kind: str, severity: float, task: str) -> Tensor:
    """Return (3, HEIGHT, w) in [0, 1]: a photograph degraded, restored and as it was."""
    clean = images.read(next(Path(data.__file__).parent.glob(f"{name}.*"))).pixels[None].add(1).div_(2)
    clean = clean[..., : clean.shape[-2] // 16 * 16, : clean.shape[-1] // 16 * 16]
    spec = named(kind)
    make = spec.small if isinstance(spec, BlindResolution) else spec
    given = make(clean, Random([0]), severity).mul(255).round_().div_(127.5).sub_(1)[0]
    request = restorer.task(task).request_for(spec, Random([0]), *clean.shape[-2:], severity)
    restored = restorer.posterior(given, Settings(task=task, request=request)).mean[None].add(1).div_(2)
    size = HEIGHT, round(clean.shape[-1] * HEIGHT / clean.shape[-2])
    parts = (given[None].add(1).div(2), restored, clean)
    return torch.cat([F.interpolate(x, size=size, mode="bilinear", antialias=True)[0] for x in parts], -1).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    for model in options.models:
        restorer = Restorer.from_pretrained(model, "cpu")
        strips = [strip(restorer, *case) for case in CASES[model]]
        width = max(one.shape[-1] for one in strips)
        sheet = torch.cat([F.pad(one, (0, width - one.shape[-1]), value=1.0) for one in strips], dim=1)
        path = ROOT / "docs" / "limits" / f"{model}.jpg"
        images.write(images.Photo(sheet * 2 - 1), path, overwrite=True, quality=85)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
