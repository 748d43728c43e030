"""The figure of a training run: what it averages, and what it leaves out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import ImageFont

from restore.errors import DataError
from restore.evaluation.report import training_figure
from restore.evaluation.report.drawing import Circle, Label, Line
from restore.training.trainer import read_log


def entry(step: int, loss: float, **validation: tuple[float, float]) -> dict:
    return {"step": step, "loss": loss, "validation": validation}


def test_the_figure_tells_where_the_loss_began_and_ended() -> None:
    log = [entry(step, 100 / step) for step in range(1, 501)]
    figure = training_figure(log, "weather")
    # two steps a stretch: the median of 100 and 50, and of the last two
    assert figure.description == "weather: loss from 75 to 0.2002 in 500 steps"
    assert figure.to_png().startswith(b"\x89PNG")


def test_gains_are_after_less_before_and_pictures_that_were_clean_have_none() -> None:
    log = [entry(1, 0.3), entry(2, 0.2, rain=(20.0, 21.5), clean=(138.0, 45.0)), entry(3, 0.1, rain=(20.0, 24.0))]
    dots = [shape.title for shape in training_figure(log, "x").shapes if isinstance(shape, Circle)]
    assert dots == ["rain, step 2: +1.50 dB", "rain, step 3: +4.00 dB"]


def test_stretches_are_equal_whatever_the_number_of_steps() -> None:
    log = [entry(step, 1.0) for step in range(1, 502)]
    log[-1]["loss"] = 5.0
    figure = training_figure(log, "x")
    # 501 steps make 250 points of two or three; one high loss is a part of the last one, and moves it not
    assert len([shape for shape in figure.shapes if isinstance(shape, Line) and shape.role == "mark"]) == 249
    assert figure.description == "x: loss from 1 to 1 in 501 steps"
    assert any(isinstance(shape, Label) and "median of 2 or 3 steps" in shape.text for shape in figure.shapes)


def test_names_at_the_end_of_lines_do_not_touch_and_fit() -> None:
    gains = {name: (20.0, 21.0 + i / 1000) for i, name in enumerate(["rain", "snow", "inpaint free-form", "haze"])}
    figure = training_figure([entry(1, 0.3, **gains), entry(2, 0.2, **gains)], "x")
    labels = [shape for shape in figure.shapes if isinstance(shape, Label) and shape.text in gains]
    assert len(labels) == 4
    heights = sorted(label.y for label in labels)
    assert all(b - a >= 14 - 1e-9 for a, b in pairwise(heights)) and heights[-1] < figure.height - 40
    assert [label.text for label in sorted(labels, key=lambda label: -label.y)] == list(gains), "the best is on top"
    for label in labels:
        assert label.x + ImageFont.load_default(label.size).getlength(label.text) <= figure.width


def test_what_is_left_out_is_said() -> None:
    log = [entry(1, 0.3, rain=(20.0, 21.0), clean=(138.0, 45.0))]
    figure = training_figure(log, "x")
    texts = [shape.text for shape in figure.shapes if isinstance(shape, Label)]
    assert "nothing to gain, not drawn: clean" in texts and "clean" in figure.description
    only = training_figure([entry(1, 0.3, clean=(138.0, 45.0))], "x")
    assert any(isinstance(shape, Label) and "not drawn" in shape.text for shape in only.shapes)


def test_one_step_is_a_dot_and_what_is_no_number_is_left_out() -> None:
    dots = [shape for shape in training_figure([entry(7, 0.25)], "x").shapes if isinstance(shape, Circle)]
    assert [dot.title for dot in dots] == ["step 7: 0.25"]
    assert training_figure([entry(1, 0.5), entry(2, float("nan"))], "x").to_png()
    with pytest.raises(DataError, match="finite"):
        training_figure([entry(1, float("nan"))], "x")


def test_a_line_that_was_cut_off_is_left_aside(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(entry(1, 0.5)) + "\n" + '{"step": 2, "validation": {}')
    assert [line["step"] for line in read_log(log)] == [1]


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the log"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(DataError, match="empty"):
        training_figure([], "x")
