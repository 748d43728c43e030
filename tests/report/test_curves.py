"""The figure of a training run: what it averages, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from restore.errors import DataError
from restore.report import training_figure
from restore.report.drawing import Circle
from restore.train import read_log


def entry(step: int, loss: float, **validation: tuple[float, float]) -> dict:
    return {"step": step, "loss": loss, "validation": validation}


def test_the_figure_tells_where_the_loss_began_and_ended() -> None:
    log = [entry(step, 100 / step) for step in range(1, 501)]
    figure = training_figure(log, "weather")
    # two steps a stretch: the mean of 100 and 50, and of the last two
    assert figure.description == "weather: loss from 75 to 0.2002 in 500 steps"
    assert figure.to_png().startswith(b"\x89PNG")


def test_gains_are_after_less_before_and_pictures_that_were_clean_have_none() -> None:
    log = [entry(1, 0.3), entry(2, 0.2, rain=(20.0, 21.5), clean=(138.0, 45.0)), entry(3, 0.1, rain=(20.0, 24.0))]
    dots = [shape.title for shape in training_figure(log, "x").shapes if isinstance(shape, Circle)]
    assert dots == ["rain, step 2: +1.50 dB", "rain, step 3: +4.00 dB"]


def test_a_line_that_was_cut_off_is_left_aside(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(entry(1, 0.5)) + "\n" + '{"step": 2, "validation": {}')
    assert [line["step"] for line in read_log(log)] == [1]


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the log"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(DataError, match="empty"):
        training_figure([], "x")
