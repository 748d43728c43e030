"""Train the models that ship, one after the other, and put their weights where the package finds them.

    python scripts/train_models.py photographs/bsds500 photographs/cid22
    python scripts/train_models.py photographs/bsds500 photographs/cid22 --models jpeg,upscale_x4 --set seed=1
    python scripts/train_models.py photographs/bsds500 --models weather --export-only

Each model follows its config in `configs/train/`; a run that was stopped is continued. The averaged weights are stored
as half-precision numbers under `restore/weights/`, their SHA-256 goes into the card in `configs/models/`, and at the
end the table of the cards is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import torch

from restore import checkpoints
from restore.cli.console import table
from restore.config import load_train_config
from restore.models import model_card

ROOT = Path(__file__).resolve().parent.parent
BEFORE = {"weather": ("weather_first", "weather_second")}
"""The parts of a model's training that come first; each goes on where the one before it ended."""
MODELS = ("weather", "detector", "upscale_x2", "upscale_x4", "inpaint", "jpeg", "colorize")


def train(name: str, folders: list[Path], runs: Path, settings: list[str]) -> None:
    """Train a model, part by part, or continue."""
    start: list[str] = []
    for part in (*BEFORE.get(name, ()), name):
        output = runs / part
        command = [sys.executable, "-m", "restore", "train", part, f"data.folders=[{','.join(map(str, folders))}]"]
        command += [f"output={output}", *start, *settings, *(["--resume"] if (output / "last.pt").exists() else [])]
        subprocess.run(command, check=True)
        start = [f"start_from={output / 'model.safetensors'}"]


def export(name: str, run: Path) -> None:
    """Store a run's weights in half precision beside the package, and their digest in the card."""
    config, card = load_train_config(name), ROOT / "configs" / "models" / f"{name}.yaml"
    source = run / "model.safetensors"
    facts = model_card(name)
    training = {"step": checkpoints.read_metadata(source)["training"]["step"], "data": facts.data}
    training |= {"licence": facts.licence, "command": facts.command}
    target = ROOT / "restore" / "weights" / facts.weights
    halves = {key: value.to(torch.float16) for key, value in checkpoints.load(source).items()}
    checkpoints.save(target, halves, config.trained.model_dump(mode="json"), training)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    text = re.sub(r"^sha256: .*$", f"sha256: {digest}", card.read_text(encoding="utf-8"), flags=re.MULTILINE)
    card.write_text(text, encoding="utf-8")


def cards(names: list[str]) -> str:
    """Return the table of the cards."""
    rows = []
    for name in names:
        card = model_card(name)
        path = ROOT / "restore" / "weights" / card.weights
        document = checkpoints.read_metadata(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        scores = "; ".join(f"{s.data} {s.task}: {s.before:.2f} to {s.after:.2f}" for s in card.scores) or "-"
        rows.append([name, document["training"]["step"], size, card.licence, scores])
    return table(["model", "steps", "size", "licence", "scores"], rows)


def main() -> None:
    """Train, store and list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="clean photographs")
    parser.add_argument("--models", default=",".join(MODELS), help="names, with commas")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs lie")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--export-only", action="store_true", help="store what the runs have reached so far")
    options = parser.parse_args()
    names = options.models.split(",")
    for name in names:
        if not options.export_only:
            train(name, options.folders, options.runs, options.settings)
        export(name, options.runs / name)
    print(cards(names))


if __name__ == "__main__":
    main()
