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


def test_a_sheet_replaces_no_image_of_the_set(cli, photographs: Path, tmp_path: Path) -> None:
    first = min(photographs.iterdir())
    where = ("data", "preview", "kodak24", "--root", photographs)
    before = first.read_bytes()
    ran = cli(*where, "-o", first)
    assert ran.code != 0 and "it is the file that was read" in ran.err and first.read_bytes() == before
    for extra in (("--seed", 5), ("--mask", "nowhere.png")):
        ran = cli(*where, *extra, "-o", tmp_path / "sheet.png")
        assert ran.code == 2 and "for a --degradation" in ran.err


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


def test_masks_from_files(cli, photographs: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    lost = np.zeros((96, 128), np.uint8)
    lost[10:30, 5:60] = 255
    Image.fromarray(lost).save(masks / "coffee.png")
    other = np.ascontiguousarray(lost[::-1])
    Image.fromarray(other).save(masks / "any.png")
    ran = cli("data", "synthesize", photographs, tmp_path / "a", "--degradation", "mask-file", "--mask", masks)
    assert (ran.code, ran.err) == (0, "")
    made = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / "a" / "mask").iterdir()}
    assert np.array_equal(made["coffee"], lost), "the mask of the image's own name, as it is"
    kinds = {np.ascontiguousarray(mask).tobytes() for drawn in (lost, other) for mask in (drawn, drawn[:, ::-1])}
    assert all(mask.shape == (96, 128) and mask.tobytes() in kinds for mask in made.values())
    given, clean = (np.asarray(Image.open(tmp_path / "a" / x / "coffee.png")) for x in ("input", "target"))
    assert np.array_equal(given[lost == 0], clean[lost == 0]) and len(np.unique(given[lost > 0])) == 1
    # of the other convention, one mask for all
    Image.fromarray(255 - lost).save(tmp_path / "keep.png")
    ran = cli("data", "synthesize", photographs, tmp_path / "b", "--degradation", "mask-file",
              "--mask", tmp_path / "keep.png", "--invert-mask")  # fmt: skip
    assert ran.code == 0
    assert all(np.array_equal(np.asarray(Image.open(path)), lost) for path in (tmp_path / "b" / "mask").iterdir())
    sheet = tmp_path / "sheet.png"
    ran = cli("data", "preview", photographs / "coffee.png", "--degradation", "mask-file",
              "--mask", masks / "coffee.png", "--count", 2, "-o", sheet)  # fmt: skip
    assert ran.code == 0
    assert np.array_equal(np.asarray(Image.open(sheet))[:, 128:], given)


def test_masks_that_are_missing_or_of_no_use_are_refused(cli, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for options, message in (
        (["mask-file"], "pass --mask"),
        (["mask-box", "--mask", tmp_path], "only mask-file"),
        (["mask-box", "--invert-mask"], "pass --mask, too"),
        (["mask-file", "--mask", tmp_path / "empty"], "no image found"),
        (["mask-file", "--mask", tmp_path / "none.png"], "no image found"),
    ):
        ran = cli("data", "synthesize", photographs, tmp_path / "out", "--degradation", *options)
        assert ran.code in (1, 2) and message in ran.err and ran.err.count("\n") == 1, ran.err
        assert not (tmp_path / "out").exists()


def test_joined_images_are_evaluated_as_they_are_and_taken_apart(cli, photographs: Path, tmp_path: Path) -> None:
    root = tmp_path / "Rain800"
    (root / "test_syn").mkdir(parents=True)
    for path in photographs.iterdir():
        clean = np.asarray(Image.open(path))
        Image.fromarray(np.concatenate([clean, clean // 2 + 60], axis=1)).save(root / "test_syn" / path.name)
    ran = cli("data", "unjoin", "rain800", tmp_path / "apart", "--root", root)
    assert (ran.code, ran.out) == (0, f"wrote 5 pairs to {tmp_path}/apart (input, target)\n")
    own = cli("data", "unjoin", root / "test_syn", tmp_path / "own", "--first", "target")
    assert own.code == 0
    scored = [cli("evaluate", "rain800", "--root", where, "--model", "none", "--protocol", "rgb", "--json")
              for where in (root, tmp_path / "apart", tmp_path / "own")]  # fmt: skip
    rows = [json.loads(one.out)["rows"] for one in scored]
    assert rows[0][0]["after"] == rows[1][0]["after"] == rows[2][0]["after"]
    for options in ([], ["--first", "left"], ["--first", "input", "--root", root]):
        assert cli("data", "unjoin", root / "test_syn", tmp_path / "no", *options).code == 2
