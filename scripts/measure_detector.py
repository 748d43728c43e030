"""Measure the detector: what it takes pictures for whose weather is known, as a table of confusions.

    python scripts/measure_detector.py --clean Kodak24 --severity 0.3,0.5,0.7
    python scripts/measure_detector.py --folder rain=pairs/DDN/input --folder clean=pairs/DDN/target
    python scripts/measure_detector.py --folder haze=photographs/hazy --each

`--clean` puts the project's weather on clean pictures, every kind at every severity, beside the pictures as they are;
`--folder KIND=FOLDER` takes pictures of a kind as they are, and can be given more than once. What task `auto` gains
by its decisions is measured by `restore evaluate ... --task told,weather,auto`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from restore import images
from restore.cli.console import table
from restore.data.files import walk
from restore.degradations import Mixture, Random
from restore.detector import MIXED, Decision, Detector

KINDS = ("rain", "snow", "haze", "rain+haze", "raindrop", "rain+snow")


def made(folder: Path, severities: list[float]) -> Iterator[tuple[str, str, Tensor]]:
    """Yield (set, kind, picture in [-1, 1]) of clean pictures, as they are and in all kinds of weather."""
    parts = Mixture(weights=dict.fromkeys(KINDS, 1.0)).parts()
    for index, path in enumerate(sorted(walk(folder))):
        clean = images.read(path).pixels[None].add(1).div(2)
        yield f"{folder.name}, clean", "clean", clean[0] * 2 - 1
        for kind in KINDS:
            for severity in severities:
                degraded = parts[kind](clean, Random([index]), severity).mul(255).round().div(255)
                yield f"{folder.name}, {kind} {severity:g}", kind, degraded[0] * 2 - 1


def found(kind: str, folder: Path, each: bool, detector: Detector) -> Iterator[tuple[str, str, Decision]]:
    """Yield (set, kind, decision) of the pictures of a folder."""
    for path in sorted(walk(folder)):
        decision = detector(images.read(path).pixels)
        if each:
            print(f"{path.name}: {decision}")
        yield f"{folder.parent.name}/{folder.name}", kind, decision


def main() -> None:
    """Look, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, help="clean pictures that weather is put on")
    parser.add_argument("--severity", default="0.3,0.5,0.7", help="of that weather, several with commas")
    parser.add_argument("--folder", action="append", default=[], metavar="KIND=FOLDER", help="pictures of a kind")
    parser.add_argument("--model", default="detector", help="a name or a file")
    parser.add_argument("--each", action="store_true", help="also print the decision for each picture of the folders")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    options = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    detector = Detector.from_pretrained(options.model)
    counts: dict[tuple[str, str], Counter[str]] = {}
    if options.clean is not None:
        for name, kind, picture in made(options.clean, [float(text) for text in options.severity.split(",")]):
            counts.setdefault((name, kind), Counter())[detector(picture).kind] += 1
    for given in options.folder:
        kind, folder = given.split("=", 1)
        for name, _, decision in found(kind, Path(folder), options.each, detector):
            counts.setdefault((name, kind), Counter())[decision.kind] += 1
    answers = [*KINDS[:-1], "clean", MIXED]
    rows = []
    for (name, kind), seen in counts.items():
        right = seen[MIXED if kind == "rain+snow" else kind] / seen.total()
        rows.append([name, seen.total(), *(seen[answer] for answer in answers), round(100 * right)])
    print(table(["pictures", "number", *answers, "right, %"], rows))
    if options.json is not None:
        options.json.write_text(json.dumps({name: dict(seen) for (name, _), seen in counts.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
