"""The original's own files from the command line: a photograph of odd size, and what is said of a file."""

from __future__ import annotations

import signal
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

FAMILIES = {
    "weatherdiffusion": ("ckpts/RainDrop_ddpm.pth.tar", [], 1),
    "palette": ("guided_diffusion/190_Network.pth", ["image_size=16"], 1),
    "sr3": ("sr3/I1560000_E91_gen.pth", ["image_size=16", "scale=2"], 2),
    "guided_diffusion": ("superres/model100000.pt", ["large_size=16", "small_size=8"], 2),
}


@pytest.fixture
def cli(monkeypatch, capsys):
    """Return a function that runs `restore ARGS...` and returns its exit code and what it printed."""
    from restore.cli import main

    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["restore", *map(str, args)])
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
            warnings.simplefilter("default")
            main()
            raise SystemExit(0)  # a command that does its work need not exit by itself
        return stop.value.code or 0, *capsys.readouterr()

    yield run
    for sign, handler in before.items():
        signal.signal(sign, handler)


def told(settings):
    return [word for setting in settings for word in ("--set", setting)]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_photograph_of_odd_size(cli, golden, photographs, tmp_path, family):
    file, settings, scale = FAMILIES[family]
    photo, mask, out = tmp_path / "photo.png", tmp_path / "mask.png", tmp_path / "out.png"
    with Image.open(photographs / "chelsea.png") as image:
        image.crop((30, 20, 51, 39)).save(photo)
    hole = np.zeros((19, 21), dtype=np.uint8)
    hole[4:9, 3:8] = 255
    Image.fromarray(hole).save(mask)
    words = ["--task", "inpaint", "--mask", mask] if family == "palette" else []
    model = golden(family).folder / file
    code, _, err = cli(
        "run", photo, "-o", out, "-m", model, "--steps", 2, "--device", "cpu", *words, *told(settings)
    )  # fmt: skip
    assert code == 0, err
    before, after = np.asarray(Image.open(photo)), np.asarray(Image.open(out))
    assert after.shape == (19 * scale, 21 * scale, 3)
    if scale == 1:
        changed = (before != after).any(axis=2)
        assert changed.any()
        assert family != "palette" or not changed[hole == 0].any()


def test_what_was_assumed_is_said(cli, golden, photographs, tmp_path):
    model, out = golden("guided_diffusion").folder / "superres" / "model100000.pt", tmp_path / "out.png"
    photo = tmp_path / "photo.png"
    with Image.open(photographs / "chelsea.png") as image:
        image.crop((30, 20, 46, 36)).save(photo)
    words = ["run", photo, "-o", out, "-m", model, "--steps", 1, "--device", "cpu", "--set", "num_heads=2"]
    code, _, err = cli(*words)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "assumed" in line]
    assert "use_new_attention_order = False" in line and "num_heads" not in line and "--set" in line


@pytest.mark.parametrize("file", ["sr3/sr3_uncond/I20000_E2_gen.pth", "guided_diffusion/unet_b/model050000.pt"])
def test_a_photograph_for_a_model_that_sees_none(cli, golden, photographs, tmp_path, file):
    """It is refused with what the model can do, and each of that works."""
    model, photo, mask = golden("sr3").folder.parent / file, tmp_path / "photo.png", tmp_path / "mask.png"
    with Image.open(photographs / "chelsea.png") as image:
        image.crop((30, 20, 46, 36)).save(photo)
    hole = np.zeros((16, 16), dtype=np.uint8)
    hole[4:9, 3:8] = 255
    Image.fromarray(hole).save(mask)
    words = ["run", photo, "-o", tmp_path / "out.png", "-m", model, "--steps", 2, "--device", "cpu"]
    code, _, err = cli(*words)
    assert code == 2 and "no input for an image" in err
    assert not (tmp_path / "out.png").exists()
    offered = {"inpaint": ["--mask", mask], "uncrop": ["--pad", "0,8,0,0"], "generate": []}
    for task, more in offered.items():
        assert f"--task {task}" in err
        code, _, failed = cli(*words, "--task", task, *more, "--on-exists", "overwrite")
        assert code == 0, failed


def test_info_is_told_what_the_file_cannot_say(cli, golden, tmp_path):
    g = golden("guided_diffusion")
    path = g.folder / "unet_b" / "model050000.pt"
    code, out, _ = cli("models", "info", path, "--set", "noise_schedule=cosine", "--set", "num_heads=2")
    assert code == 0 and "num_heads = 2 (key=value)" in out and "kind cosine" in out
    code, out, _ = cli("models", "info", path, "--config", g.config(g.facts["models"]["unet_b"]["kwargs"]))
    assert code == 0 and "config file" in out
    code, _, err = cli("models", "info", "weather", "--set", "num_heads=2")
    assert code == 2 and "for a checkpoint file" in err
