"""`restore train`: what hinders the figure of a run never hinders the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from restore.cli.training import _Figure


def test_a_figure_that_cannot_be_drawn_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = _Figure(tmp_path, "x")
    figure.draw()
    assert capsys.readouterr().err == "", "without a log there is nothing to draw"
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 0.5, "validation": {}}) + "\n")
    (tmp_path / "training.png").mkdir()
    figure.draw()
    figure.draw()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("warning: training.png was not drawn")
    (tmp_path / "training.png").rmdir()
    figure.draw()
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_card_is_named_on_the_command_line(cli, tiny_recipe, photographs: Path, tmp_path: Path) -> None:
    for side in ("rain", "norain"):
        (tmp_path / "set" / "RainTrainL").mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(sorted(photographs.iterdir())):
            shutil.copy(path, tmp_path / "set" / "RainTrainL" / f"{side}-{number}.png")
    document = {
        "model": tiny_recipe.model_dump(mode="json"),
        "data": {"kind": "card", "card": "rain100l", "root": str(tmp_path / "elsewhere")},
        "output": str(tmp_path / "run"),
        "stages": [{"until": 2, "patch": 16, "regions": 2, "patches": 1}],
        "region": 64,
        "validation": {"every": 2, "images": 1, "size": 64},
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(document))
    ran = cli("train", tmp_path / "my.yaml", "--device", "cpu")
    assert ran.code == 1 and ran.err.count("\n") == 1 and "elsewhere is not a folder" in ran.err
    ran = cli("train", tmp_path / "my.yaml", f"data.root={tmp_path / 'set'}", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "5 pairs of rain100l (split train, layout prenet)\ntraining on 4 images" in ran.err
    assert "rain" in ran.out and (tmp_path / "run" / "model.safetensors").is_file()
