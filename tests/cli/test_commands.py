"""`restore plan | interpolate | models convert`, and the options of `restore run` that they go with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from restore import images

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PUBLISHED = GOLDEN / "weatherdiffusion" / "ckpts" / "RainDrop_ddpm.pth.tar"


@pytest.fixture
def photo(photographs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(photographs / "chelsea.png", tmp_path / "photo.png"))


def test_a_plan_tells_what_the_run_will_see(cli, photo: Path, tiny_model: Path) -> None:
    ran = cli("plan", photo, "-m", tiny_model, "--json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert (document["width"], document["height"]) == (128, 96)
    assert {"the model's own", "whole image"} <= {choice["name"] for choice in document["choices"]}


def test_a_plan_is_told_what_a_run_is_told(cli, photo: Path, tiny_model: Path) -> None:
    for scale in (2, 4):
        ran = cli("plan", photo, "--task", "upscale", "--scale", scale, "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["width"] == 128 * scale
    assert cli("plan", photo, "--task", "inpaint").code == 0
    ran = cli("plan", photo, "-m", tiny_model, "--pad", "9,9,9,9")
    assert ran.code == 2 and "no use for a pad" in ran.err


def test_errors_of_the_disk_are_one_line(cli, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = cli("data", "manifest", tmp_path, "-o", tmp_path / "file" / "sums.txt")
    (line,) = ran.err.strip().splitlines()
    assert ran.code == 1 and line.startswith(f"error: {tmp_path}/file")
    (tmp_path / "photographs").mkdir()
    photo.rename(tmp_path / "photographs" / photo.name)
    (tmp_path / "plain").write_text("")
    ran = cli("data", "synthesize", tmp_path / "photographs", tmp_path / "plain", "--degradation", "rain")
    assert ran.code == 1 and ran.err.startswith("error: ") and len(ran.err.strip().splitlines()) == 1


def test_a_run_keeps_to_its_budget(cli, photo: Path, tiny_model: Path) -> None:
    out = photo.with_name("out.png")
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--budget", "20s", "--memory", "3GB")
    assert ran.code == 0
    assert "plan for 128x96" in ran.err
    with Image.open(out) as image:
        assert image.size == (128, 96)
    assert cli("run", photo, "-o", out, "-m", tiny_model, "--budget", "soon").code == 2
    assert cli("run", photo, "-o", photo.with_name("b.png"), "-m", tiny_model, "--memory", "1MB").code == 2


@pytest.mark.parametrize("grid", ["shifted", "whole"])
def test_other_grids(cli, photo: Path, tiny_model: Path, grid: str) -> None:
    out = photo.with_name("out.png")
    overlap = ["--overlap", 8] if grid == "shifted" else []
    assert cli("run", photo, "-o", out, "-m", tiny_model, "--grid", grid, *overlap).code == 0
    with Image.open(out) as image:
        assert image.size == (128, 96)


@pytest.mark.parametrize("sampler", ["dpm_solver", "ancestral"])
def test_other_samplers(cli, photo: Path, tiny_model: Path, sampler: str) -> None:
    out = photo.with_name("out.png")
    assert cli("run", photo, "-o", out, "-m", tiny_model, "--sampler", sampler, "--steps", 3).code == 0
    wrong = cli("run", photo, "-o", out, "-m", tiny_model, "--sampler", "euler")
    assert wrong.code == 2 and "euler" in wrong.err


def test_interpolation_makes_a_strip_or_a_folder(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    ends = photographs / "coffee.png", photographs / "rocket.png"
    strip = tmp_path / "strip.png"
    assert cli("interpolate", *ends, "-o", strip, "-m", tiny_model, "--frames", 3, "--steps", 2).code == 0
    with Image.open(strip) as image:
        assert image.size == (3 * 128, 96)
    ran = cli("interpolate", *ends, "-o", tmp_path / "f", "-m", tiny_model, "--frames", 2, "--method", "diffusion")
    assert ran.code == 0 and len(list((tmp_path / "f").iterdir())) == 2
    assert cli("interpolate", *ends, "-o", strip, "-m", tiny_model, "--method", "magic").code == 2


def test_frames_are_written_as_they_are_made(
    cli, photographs: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restore.restoration import interpolate as module

    folder, seen, real = tmp_path / "f", [], module.interpolate

    def watched(*args: object, **options: object) -> Iterator[object]:
        for frame in real(*args, **options):
            seen.append(len(list(folder.glob("*.png"))))
            yield frame

    monkeypatch.setattr(module, "interpolate", watched)
    ends = photographs / "coffee.png", photographs / "rocket.png"
    assert cli("interpolate", *ends, "-o", folder, "-m", tiny_model, "--frames", 3, "--steps", 2).code == 0
    assert seen == [0, 1, 2]


def test_frames_are_of_the_kind_of_both_ends(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    sound = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = sound[:16] + b"GRAY" + sound[20:]
    for name in ("coffee", "rocket"):
        image = images.read(photographs / f"{name}.png")
        gray = replace(image, gray=True, depth=16, source=None, metadata=images.Metadata(icc=profile))
        gray.save(tmp_path / f"{name}.png")
    first, last = tmp_path / "coffee.png", tmp_path / "rocket.png"
    common = ["-m", tiny_model, "--frames", 2, "--steps", 2, "-o"]
    for end, place, gray, icc in (
        (last, "same/0001.png", True, profile),
        (last, "strip.png", True, profile),
        (photographs / "rocket.png", "mixed/0001.png", False, None),
    ):
        output = tmp_path / place
        assert cli("interpolate", first, end, *common, output.parent if "/" in place else output).code == 0
        made = images.read(output)
        assert (made.gray, made.depth, made.metadata.icc) == (gray, 16, icc)


def test_what_was_given_is_never_written_over(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    names = [tmp_path / "0001.png", tmp_path / "0007.png"]
    for name, path in zip(names, (photographs / "coffee.png", photographs / "rocket.png"), strict=True):
        name.write_bytes(path.read_bytes())
    os.link(names[0], tmp_path / "link.png")
    before = [name.read_bytes() for name in names]
    common = ["-m", tiny_model, "--frames", 3, "--steps", 2]
    commands = [["interpolate", *names, "-o", place, *common] for place in (*names, tmp_path, tmp_path / "link.png")]
    commands += [["data", "preview", names[0], "--degradation", "rain", "-o", names[0]]]
    for command in commands:
        ran = cli(*command)
        assert ran.code != 0 and "it is the file that was read" in ran.err
    assert [name.read_bytes() for name in names] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.png", "0007.png", "link.png"]


def test_a_card_can_be_read(cli) -> None:
    told = cli("models", "info", "weather")
    assert told.code == 0 and told.out.startswith("weather: ")
    places = [told.out.index(text) for text in ("licence:", "What it is bad at", "Scores", "[1] restore evaluate")]
    assert places == sorted(places) and max(map(len, told.out.splitlines())) < 140
    recipe = cli("models", "info", "weather", "--recipe").out
    assert recipe.startswith("name: weather") and "condition_channels" in recipe and "scores" not in recipe
    assert json.loads(cli("models", "info", "weather", "--json").out)["recipe"]["name"] == "weather"
    assert "weatherdiff64" in cli("models", "info", "weatherdiff64").out
    assert cli("models", "info", PUBLISHED, "--recipe").code == 2


def test_a_published_file_is_told_converted_and_used(cli, photo: Path, tmp_path: Path) -> None:
    told = cli("models", "info", PUBLISHED)
    assert told.code == 0 and "weather-diffusion" in told.out
    ours = tmp_path / "ours.safetensors"
    assert cli("models", "convert", PUBLISHED, ours).code == 0
    assert cli("models", "convert", PUBLISHED, ours).code == 2
    for name, model in (("a.png", PUBLISHED), ("b.png", ours)):
        ran = cli("run", photo, "-o", tmp_path / name, "-m", model, "--steps", 2)
        assert (ran.code, ran.err) == (0, "")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_no_checkpoint_is_refused_in_one_line(cli, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"nothing")
    ran = cli("models", "convert", bad, tmp_path / "out.safetensors")
    assert ran.code == 1 and "bad.pth" in ran.err and len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_every_command_teaches_with_an_example(cli) -> None:
    for command in (
        ("run",),
        ("demo",),
        ("plan",),
        ("train",),
        ("evaluate",),
        ("metrics",),
        ("interpolate",),
        ("env",),
        ("models", "list"),
        ("models", "info"),
        ("models", "convert"),
        ("data", "list"),
        ("data", "verify"),
        ("data", "preview"),
        ("data", "synthesize"),
        ("data", "manifest"),
        ("data", "unjoin"),
    ):
        ran = cli(*command, "--help")
        assert ran.code == 0
        assert f"restore {' '.join(command)}" in ran.out.split("Example", 1)[1], command


def test_the_package_is_a_command_too() -> None:
    ran = subprocess.run([sys.executable, "-m", "restore", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip()[0].isdigit()
