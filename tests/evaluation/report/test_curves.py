"""The figure of a training run: what it averages, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from restore.errors import DataError
from restore.evaluation.report.curves import training_figure
from restore.training.trainer import read_log


def entry(step: int, loss: float, **validation: tuple[float, float]) -> dict:
    return {"step": step, "loss": loss, "validation": validation}


def lines(log: list[dict], panel: int) -> dict[str, list[list[float]]]:
    """What a panel draws, by its label."""
    axes = training_figure(log, "x").figure.axes[panel]
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if not line.get_label().startswith("_")}


def test_the_figure_tells_where_the_loss_began_and_ended() -> None:
    log = [entry(step, 100 / step) for step in range(1, 501)]
    figure = training_figure(log, "weather")
    # two steps a stretch: the median of 100 and 50, and of the last two
    assert figure.description == "weather: loss from 75 to 0.2002 in 500 steps"
    assert figure.to_png().startswith(b"\x89PNG")


def test_gains_are_after_less_before_and_images_that_were_clean_have_none() -> None:
    log = [entry(1, 0.3), entry(2, 0.2, rain=(20.0, 21.5), clean=(138.0, 45.0)), entry(3, 0.1, rain=(20.0, 24.0))]
    assert lines(log, 1) == {"rain": [[2, 1.5], [3, 4.0]]}


def test_stretches_are_equal_whatever_the_number_of_steps() -> None:
    log = [entry(step, 1.0) for step in range(1, 502)]
    log[-1]["loss"] = 5.0
    # 501 steps make 250 points of two or three; one high loss is a part of the last one, and moves it not
    assert [value for _, value in lines(log, 0)["loss"]] == [1.0] * 250
    figure = training_figure(log, "x")
    assert figure.description == "x: loss from 1 to 1 in 501 steps" and len(figure.figure.axes) == 1
    assert "median of 2 or 3 steps" in figure.figure.axes[0].get_title("left")


def test_the_legend_lists_the_gains_as_the_lines_end_and_fits_into_the_figure() -> None:
    gains = {name: (20.0, 21.0 + i / 1000) for i, name in enumerate(["rain", "snow", "inpaint free-form", "haze"])}
    figure = training_figure([entry(1, 0.3, **gains), entry(2, 0.2, **gains)], "x").figure
    figure.draw_without_rendering()
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(reversed(gains)), "the best is on top"
    box, whole = legend.get_window_extent(), figure.bbox
    assert box.x0 >= figure.axes[1].bbox.x1 and box.x1 <= whole.x1 and box.y0 >= whole.y0


def test_what_is_left_out_is_said() -> None:
    figure = training_figure([entry(1, 0.3, rain=(20.0, 21.0), clean=(138.0, 45.0))], "x")
    assert "nothing to gain, not drawn: clean" in figure.figure.axes[1].get_xlabel() and "clean" in figure.description
    only = training_figure([entry(1, 0.3, clean=(138.0, 45.0))], "x")
    assert "not drawn" in only.figure.axes[1].get_xlabel() and only.to_png()


def test_one_step_is_a_dot_and_what_is_no_number_is_left_out() -> None:
    (line,) = training_figure([entry(7, 0.25)], "x").figure.axes[0].lines
    assert line.get_xydata().tolist() == [[7, 0.25]] and line.get_marker() == "o"
    assert lines([entry(1, 0.5), entry(2, float("nan"))], 0) == {"loss": [[1, 0.5]]}
    with pytest.raises(DataError, match="finite"):
        training_figure([entry(1, float("nan"))], "x")


def test_a_line_that_was_cut_off_is_left_aside(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(entry(1, 0.5)) + "\n" + '{"step": 2, "validation": {}')
    assert [line["step"] for line in read_log(log)] == [1]


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such log"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(DataError, match="empty"):
        training_figure([], "x")
