"""Measure the detector: what it takes images for whose weather is known, as a table of confusions.

    python scripts/measure_detector.py --clean Kodak24 --severity 0.3,0.5,0.7
    python scripts/measure_detector.py --folder rain=pairs/DDN/input --folder clean=pairs/DDN/target
    python scripts/measure_detector.py --folder haze=photographs/hazy --each

`--clean` puts the project's weather on clean images, every kind at every severity, beside the images as they are;
`--folder KIND=FOLDER` takes images of a kind as they are, and can be given more than once. `--json` writes a list of
the sets, each with its kind and the number of each answer. What task `auto` gains by its decisions is measured by
`restore evaluate ... --label true,blind,detected`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from restore import images
from restore.cli.console import table
from restore.data.files import image_files
from restore.degradations import Mixture, Random
from restore.errors import DataError
from restore.restoration.detector import MIXED, Decision, Detector

KINDS = ("rain", "snow", "haze", "rain+haze", "raindrop", "rain+snow")


def folder_images(text: str) -> tuple[Path, list[Path]]:
    """Return a folder and the images below it, for an option."""
    try:
        return Path(text), image_files(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def known(text: str) -> tuple[str, Path, list[Path]]:
    """Return the kind, the folder and its images of `KIND=FOLDER`."""
    kind, sign, folder = text.partition("=")
    if not sign or kind not in (*KINDS, "clean"):
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=FOLDER with a kind of {', '.join((*KINDS, 'clean'))}")
    return kind, *folder_images(folder)


def severities(text: str) -> list[float]:
    """Return numbers from 0 to 1 that stand between commas."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [-1.0]
    if not all(0 <= value <= 1 for value in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1, or several with commas")
    return found


def made(folder: Path, paths: list[Path], severities: list[float]) -> Iterator[tuple[str, str, Tensor]]:
    """Yield (set, kind, image in [-1, 1]) of clean images, as they are and in all kinds of weather."""
    parts = Mixture(weights=dict.fromkeys(KINDS, 1.0)).parts()
    for index, path in enumerate(paths):
        clean = images.read(path).pixels[None].add(1).div(2)
        yield f"{folder.name}, clean", "clean", clean[0] * 2 - 1
        for kind in KINDS:
            for severity in severities:
                degraded = parts[kind](clean, Random([index]), severity).mul(255).round().div(255)
                yield f"{folder.name}, {kind} {severity:g}", kind, degraded[0] * 2 - 1


def found(paths: list[Path], each: bool, detector: Detector) -> Iterator[Decision]:
    """Yield the decisions on images as they are; `each` prints them, too."""
    for path in paths:
        decision = detector(images.read(path).pixels)
        if each:
            print(f"{path.name}: {decision}")
        yield decision


def main(arguments: Sequence[str] | None = None) -> None:
    """Look, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=folder_images, metavar="FOLDER", help="clean images that weather is put on")
    parser.add_argument("--severity", type=severities, default="0.3,0.5,0.7", help="of it, several with commas")
    kinds = f"images of a kind: {', '.join(KINDS)} or clean"
    parser.add_argument("--folder", type=known, action="append", default=[], metavar="KIND=FOLDER", help=kinds)
    parser.add_argument("--model", default="detector", help="a name or a file")
    parser.add_argument("--each", action="store_true", help="also print the decision for each image of the folders")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    options = parser.parse_args(arguments)
    if options.clean is None and not options.folder:
        parser.error("there is nothing to look at: give --clean FOLDER or --folder KIND=FOLDER")
    torch.set_num_threads(min(2, torch.get_num_threads()))
    detector = Detector.from_pretrained(options.model)
    counts: dict[tuple[str, str], Counter[str]] = {}
    if options.clean is not None:
        for name, kind, image in made(*options.clean, options.severity):
            counts.setdefault((name, kind), Counter())[detector(image).kind] += 1
    for kind, folder, paths in options.folder:
        for decision in found(paths, options.each, detector):
            counts.setdefault((str(folder), kind), Counter())[decision.kind] += 1
    answers = [*KINDS[:-1], "clean", MIXED]
    rows = []
    for (name, kind), seen in counts.items():
        right = seen[MIXED if kind == "rain+snow" else kind] / seen.total()
        rows.append([name, seen.total(), *(seen[answer] for answer in answers), round(100 * right)])
    print(table(["images", "number", *answers, "right, %"], rows))
    if options.json is not None:
        sets = [{"images": name, "kind": kind, "answers": dict(seen)} for (name, kind), seen in counts.items()]
        options.json.write_text(json.dumps(sets, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
