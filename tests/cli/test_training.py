"""`restore train`: what hinders the figure of a run never hinders the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
