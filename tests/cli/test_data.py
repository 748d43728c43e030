"""`restore data preview` and `synthesize`: every degradation, by its name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.degradations.names import FIXED

NAMES = [*FIXED, "bicubic-x4", "blind-x2", "jpeg-q10", "noise-25"]


@pytest.mark.parametrize("name", NAMES)
def test_every_degradation_can_be_looked_at(cli, photographs: Path, tmp_path: Path, name: str) -> None:
    sheet = tmp_path / "sheet.png"
    ran = cli("data", "preview", photographs / "coffee.png", "--degradation", name, "--count", 3, "-o", sheet)
    assert (ran.code, ran.err) == (0, "")
    array = np.asarray(Image.open(sheet).convert("RGB"))
    assert array.shape == (96, 3 * 128, 3)
    clean = np.asarray(Image.open(photographs / "coffee.png").convert("RGB"))
    assert np.array_equal(array[:, :128], clean), "severity 0 is the photograph"
    assert np.array_equal(array[:, 256:], clean) == (name == "clean")


def test_pairs_of_super_resolution(cli, photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    ran = cli("data", "synthesize", photographs, out, "--degradation", "bicubic-x4")
    assert ran.code == 0 and "wrote 5 pairs" in ran.out
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["name"] == "bicubic-x4"
    assert manifest["degradation"]["scale"] == 4
    for name, size in (("input", (32, 24)), ("target", (128, 96))):
        with Image.open(out / name / "coffee.png") as image:
            assert image.size == size
    scored = cli("evaluate", "--input", out / "input", "--target", out / "target", "--model", "none",
                 "--protocol", "sr,native", "--json")  # fmt: skip
    made = cli("evaluate", "--clean", photographs, "--degradation", "bicubic-x4", "--model", "none",
               "--protocol", "sr,native", "--json")  # fmt: skip
    assert (scored.code, made.code) == (0, 0), scored.err + made.err
    for one, other in zip(json.loads(scored.out)["rows"], json.loads(made.out)["rows"], strict=True):
        assert one["after"] == one["before"]
        assert one["after"]["psnr"]["mean"] == pytest.approx(other["after"]["psnr"]["mean"], abs=1e-3)


def test_haze_over_depth_maps(cli, photographs: Path, tmp_path: Path) -> None:
    depths = tmp_path / "depths"
    depths.mkdir()
    ramp = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (96, 1))
    for path in photographs.iterdir():
        if path.stem != "rocket":
            Image.fromarray(ramp).save(depths / f"{path.stem}.png")
    ran = cli("data", "synthesize", photographs, tmp_path / "out", "--degradation", "haze", "--depth", depths)
    assert ran.code == 3
    assert "no depth map named rocket" in ran.err
    hazy, clean = (np.asarray(Image.open(tmp_path / "out" / x / "coffee.png")).astype(int) for x in ("input", "target"))
    change = np.abs(hazy - clean).mean((0, 2))
    assert change[:8].mean() < 0.2 * change[-8:].mean(), "far away there is more haze"
    ran = cli("data", "preview", photographs / "coffee.png", "--degradation", "rain", "--depth", depths)
    assert (ran.code, ran.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["fog", "bicubic-x99", "jpeg-q0"])
def test_unknown_degradations_are_refused_with_what_there_is(cli, photographs: Path, tmp_path: Path, name: str) -> None:
    for command in (
        ["data", "preview", photographs / "coffee.png", "--degradation", name, "-o", tmp_path / "sheet.png"],
        ["data", "synthesize", photographs, tmp_path / "out", "--degradation", name],
    ):
        ran = cli(*command)
        assert ran.code == 2 and ran.err.count("\n") == 1
    assert not (tmp_path / "sheet.png").exists()
