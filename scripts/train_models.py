"""Train the models that ship, one after the other, and put their weights where the package finds them.

    python scripts/train_models.py photographs/bsds500 photographs/cid22
    python scripts/train_models.py photographs/bsds500 photographs/cid22 --models jpeg,upscale_x4 --set seed=1
    python scripts/train_models.py --models weather --export-only

Each model follows its config in `configs/train/`; a run that was stopped is continued. The averaged weights are stored
as half-precision numbers under `restore/weights/`, with the recipe of the run and with the data, the licence and the
command of the card in `configs/models/`; their SHA-256 goes into the card, and at the end the table of the cards is
printed. The rest of a card is written by hand: after training on other photographs, or with `--set`, correct its data,
licence, command, cost, scores, limits and recipe, and run this again with `--export-only`: the file has some of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from restore.cli.console import table
from restore.models import native
from restore.models.card import AnyRecipe, ModelCard
from restore.schema import parse, read_yaml

ROOT = Path(__file__).resolve().parent.parent
PARTS: dict[str, dict[str, dict[str, float]]] = {
    "weather": {
        "weather_first": {},
        "weather_second": {"weather_first": 1},
        "weather_third": {"weather_second": 1},
        "weather_fourth": {"weather_third": 1},
        "weather_fifth": {"weather_third": 0.25, "weather_fourth": 0.75},
        "weather_sixth": {"weather_third": 0.125, "weather_fourth": 0.375, "weather_fifth": 0.5},
        "weather": {"weather_third": 0.0625, "weather_fourth": 0.1875, "weather_fifth": 0.25, "weather_sixth": 0.5},
    },
    "detector": {
        "detector_first": {},
        "detector_second": {"detector_first": 1},
        "detector": {"detector_second": 1},
    },
}
"""The parts of a model's training in their order, the last one of its name; of all other models it is the only one.

Beside each stands of which parts before it the weights that it begins with are the mean, with their shares.
"""
SHIPS: dict[str, dict[str, float]] = {
    "weather": {
        "weather_third": 0.078125,
        "weather_fourth": 0.234375,
        "weather_fifth": 0.0625,
        "weather_sixth": 0.125,
        "weather": 0.5,
    },
    "detector": {"detector_second": 0.5, "detector": 0.5},
}
"""Of which parts the weights that ship are the mean, each with its share; of all other models it is the last part.

Between where fine-tuning began and where it ended lie weights that do better on images unlike those of the training
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""
MODELS = ("weather", "detector", "upscale_x2", "upscale_x4", "inpaint", "jpeg", "colorize")


def train(name: str, folders: Sequence[Path], runs: Path, settings: Sequence[str]) -> None:
    """Train a model, part by part, or continue."""
    # a list in JSON, which YAML reads: a folder's name may have a comma
    data = f"data.folders={json.dumps([str(folder) for folder in folders], ensure_ascii=False)}"
    for part, shares in PARTS.get(name, {name: {}}).items():
        output = runs / part
        start = [f"start_from={start_of(part, shares, runs)}"] if shares else []
        command = [sys.executable, "-m", "restore", "train", part, data, f"output={output}", *start, *settings]
        subprocess.run([*command, *(["--resume"] if (output / "last.pt").exists() else [])], check=True)


def start_of(part: str, shares: Mapping[str, float], runs: Path) -> Path:
    """Return the weights file that a part goes on from; a mean of several is stored as `runs/PART_start.safetensors`.

    Raises:
        CheckpointError: a run has no whole `model.safetensors`.
    """
    *_, last = (runs / name / "model.safetensors" for name in shares)
    if len(shares) == 1:
        return last
    target, document = runs / f"{part}_start.safetensors", native.read_metadata(last)
    native.save(target, mean_of(shares, runs), document["recipe"], document["training"])
    return target


def card_of(name: str, root: Path) -> tuple[Path, ModelCard]:
    """Return the file of a model's card, and what it says."""
    path = root / "configs" / "models" / f"{name}.yaml"
    return path, parse(ModelCard, read_yaml(path), str(path))


def mean_of(shares: Mapping[str, float], runs: Path) -> dict[str, torch.Tensor]:
    """Return the mean of the weights of some runs, each with its share.

    Raises:
        CheckpointError: a run has no whole `model.safetensors`.
    """
    parts = [(share, native.load(runs / name / "model.safetensors")) for name, share in shares.items()]
    return {key: sum(share * weights[key] for share, weights in parts) for key in parts[0][1]}


def export(name: str, runs: Path, root: Path = ROOT) -> None:
    """Store the weights and the recipe of a run, in half precision, beside the package, and their digest in the card.

    Raises:
        CheckpointError: the run has no whole `model.safetensors`.
        ConfigError: its recipe, or the card, is not one.
    """
    source, (path, card) = runs / name / "model.safetensors", card_of(name, root)
    document = native.read_metadata(source)
    # the run's own, since --set may have changed the network; parsed, since an older one may be written otherwise
    recipe = parse(AnyRecipe, document["recipe"], f"the recipe of {source}")
    training = {"step": document["training"]["step"], "data": card.data}
    training |= {"licence": card.licence, "command": card.command}
    target = root / "restore" / "weights" / card.weights
    halves = {key: value.to(torch.float16) for key, value in mean_of(SHIPS.get(name, {name: 1}), runs).items()}
    native.save(target, halves, recipe.model_dump(mode="json"), training)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    text = re.sub(r"^sha256: .*$", f"sha256: {digest}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    if recipe != card.recipe:
        print(f"{path}: its recipe is not that of the run, {source}; rewrite it by hand")


def cards(names: Sequence[str], root: Path = ROOT) -> str:
    """Return the table of the cards."""
    rows = []
    for name in names:
        _, card = card_of(name, root)
        path = root / "restore" / "weights" / card.weights
        document = native.read_metadata(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        scores = "; ".join(f"{s.data} {s.task}: {s.before:.2f} to {s.after:.2f}" for s in card.scores) or "-"
        rows.append([name, document["training"]["step"], size, card.licence, scores])
    return table(["model", "steps", "size", "licence, of the card", "scores, of the card"], rows)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """Train, store and list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="clean photographs; not needed for --export-only")
    parser.add_argument("--models", default=",".join(MODELS), help="names, with commas")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs lie")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--export-only", action="store_true", help="store what the runs have reached so far")
    options = parser.parse_args(arguments)
    names = options.models.split(",")
    if strange := [name for name in names if name not in MODELS]:
        parser.error(f"--models: {', '.join(strange)} is not one of {', '.join(MODELS)}")
    if options.export_only:
        parts = [part for name in names for part in SHIPS.get(name, (name,))]
        if absent := [part for part in parts if not (options.runs / part / "model.safetensors").is_file()]:
            parser.error(f"--export-only: {options.runs} holds no run of {', '.join(absent)}")
    elif not options.folders:
        parser.error("give one or more folders of clean photographs")
    if absent := [str(folder) for folder in options.folders if not folder.is_dir()]:
        parser.error(f"no such folder: {', '.join(absent)}")
    for name in names:
        if not options.export_only:
            train(name, options.folders, options.runs, options.settings)
        export(name, options.runs, root)
    print(cards(names, root))
    print("\nThe data, licence, command, cost, scores and limits of the cards are as they were. Where weights were")
    print("trained on other photographs, or otherwise, rewrite them by hand and run this again with --export-only.")


if __name__ == "__main__":
    main()
