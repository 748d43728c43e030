"""`--task auto` on the command line, with the detector that ships and a small network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from restore.degradations import Haze, Random, Snow
from restore.images import to_photo


@pytest.fixture
def weathered(tmp_path: Path) -> Path:
    """A folder of scikit-image's photographs, one in dense haze, one in snow, one in rain."""
    folder = tmp_path / "weathered"
    folder.mkdir()
    for name, kind, image in (("haze", Haze(), data.coffee()), ("snow", Snow(), data.chelsea())):
        clean = to_photo(image).pixels[None] / 2 + 0.5
        pixels = (kind(clean, Random([5]), 0.7)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_the_command_line_says_what_it_decided(cli, weathered: Path, tiny_model: Path, tmp_path: Path) -> None:
    ran = cli("run", weathered, "-o", tmp_path / "out", "-m", tiny_model, "--task", "auto")
    assert ran.code == 0, ran.err
    assert ran.out.count("(auto: ") == 2 and "(auto: haze, " in ran.out and "(auto: snow, " in ran.out
    ran = cli("run", weathered / "haze.png", "-o", tmp_path / "a.png", "-m", tiny_model, "-t", "auto", "--json")
    (said,) = json.loads(ran.out)
    assert said["decision"]["kind"] == "haze" and said["decision"]["confidence"] >= 0.5
    ran = cli("run", weathered / "haze.png", "-o", tmp_path / "b.png", "-m", tiny_model, "-t", "dehaze", "--json")
    assert json.loads(ran.out)[0]["decision"] is None
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_auto_is_what_a_photograph_gets_if_nothing_is_said(cli, weathered: Path, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(weathered / "clean.png")
    ran = cli("run", weathered, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert all(f"(auto: {kind}, " in ran.out for kind in ("haze", "snow", "clean"))
    assert ran.out.count("left as it is, --task restores it anyway") == 1
    with Image.open(tmp_path / "out" / "clean.png") as image:
        assert (np.asarray(image) == data.astronaut()).all()


def test_evaluation_with_auto_on_the_command_line(cli, weathered: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(weathered, tmp_path / "target")
    options = ("--input", weathered, "--target", tmp_path / "target", "-m", tiny_model, "--protocol", "rgb", "--json")
    ran = cli("evaluate", *options, "--task", "derain,weather,auto", "--limit", 1)
    assert ran.code == 0, ran.err
    assert {row["task"] for row in json.loads(ran.out)["rows"]} == {"derain", "weather", "auto"}
    ran = cli("run", weathered / "haze.png", "-o", tmp_path / "c.png", "-m", "jpeg", "--task", "auto")
    assert ran.code == 2 and "is not conditioned on the weather of an image" in ran.err
