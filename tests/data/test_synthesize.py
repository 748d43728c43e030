"""Pairs on disk: the same seed makes the same files, whatever else is in the folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore import images
from restore.data.synthesize import degradation_named, degrade_image, image_seed, severities, synthesize
from restore.degradations import Random
from restore.degradations.names import named
from restore.degradations.resolution import enlarge_by, shrink_by
from restore.errors import ConfigError


def array(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ["snow", "blind-x2", "mask-irregular"])
def test_the_same_seed_makes_the_same_files(photographs: Path, tmp_path: Path, name: str) -> None:
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(photographs / "rocket.png", few)
    for folder, source, seed in (("a", photographs, 3), ("b", few, 3), ("c", few, 4)):
        assert all(not pair.error for pair in synthesize(source, tmp_path / folder, name, seed=seed, severity=0.8))
    one, same, other = (array(tmp_path / folder / "input" / "rocket.png") for folder in "abc")
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(array(tmp_path / "a/target/rocket.png"), array(photographs / "rocket.png"))
    assert (one.shape[0] * 2 == 96) == (name == "blind-x2"), "low-resolution files are small"


def test_the_manifest_makes_every_pair_again(photographs: Path, tmp_path: Path) -> None:
    list(synthesize(photographs, tmp_path / "out", "rain+snow", seed=1))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len(manifest["images"]) == 5
    for entry in manifest["images"]:
        pixels = images.read(photographs / entry["source"]).pixels
        made = degrade_image(pixels, named(manifest["name"]), entry["seed"], manifest["severity"])
        expected = images.read(tmp_path / "out" / "input" / entry["name"]).pixels
        torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
        assert entry["seed"] == image_seed(1, entry["name"])


def test_low_resolution_is_that_of_an_image_cut_to_a_multiple(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / "clean"
    source.mkdir()
    with Image.open(photographs / "coffee.png") as image:
        image.convert("L").crop((0, 0, 101, 71)).save(source / "odd.png")
        image.crop((0, 0, 2, 2)).save(source / "tiny.png")
    (good, bad) = synthesize(source, tmp_path / "out", "bicubic-x3")
    assert not good.error and "too few" in bad.error
    small, target = array(tmp_path / "out/input/odd.png"), array(tmp_path / "out/target/odd.png")
    assert small.shape == (23, 33) and target.shape == (69, 99), "grey files stay grey"
    assert np.array_equal(target, array(source / "odd.png")[:69, :99])
    clean = torch.from_numpy(target.copy())[None, None].float() / 255
    assert np.array_equal(small, (shrink_by(clean, 3) * 255).round()[0, 0].byte().numpy())
    with pytest.raises(ConfigError, match="whatever the severity"):
        list(synthesize(source, tmp_path / "other", "bicubic-x3", severity=0.5))


def test_blind_low_resolution_is_written_as_it_was_made(photographs: Path, tmp_path: Path) -> None:
    """The file holds the last JPEG's own pixels: nothing was resized after it."""
    list(synthesize(photographs, tmp_path, "blind-x4", seed=2))
    for path in photographs.iterdir():
        clean = images.read(photographs / path.name).pixels[None].add(1).div(2)
        random = Random([image_seed(2, path.name)])
        expected = named("blind-x4").small(clean, random)[0].mul(255).round().permute(1, 2, 0).byte().numpy()
        assert np.array_equal(array(tmp_path / "input" / path.name), expected)
        again = named("blind-x4")(clean, Random([image_seed(2, path.name)]))
        low = torch.from_numpy(expected.copy()).permute(2, 0, 1)[None] / 255
        torch.testing.assert_close(again, enlarge_by(low, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["mask-irregular", "crop"])
def test_masks_are_white_where_the_input_is_lost(photographs: Path, tmp_path: Path, name: str) -> None:
    list(synthesize(photographs, tmp_path, name, seed=5))
    for path in (tmp_path / "mask").iterdir():
        mask = array(path)
        assert mask.ndim == 2 and set(np.unique(mask)) == {0, 255}
        given, clean = (array(tmp_path / folder / path.name) for folder in ("input", "target"))
        assert np.array_equal(given[mask == 0], clean[mask == 0])
        assert len(np.unique(given[mask == 255])) == 1


def test_a_damaged_image_is_told_and_does_not_stop_the_others(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(photographs, source)
    (source / "chelsea.png").write_bytes(b"no image")
    pairs = list(synthesize(source, tmp_path / "out", "haze"))
    assert [pair.name for pair in pairs if pair.error] == ["chelsea.png"]
    assert len(list((tmp_path / "out" / "input").iterdir())) == 4


def test_a_pair_that_cannot_be_written_leaves_nothing(photographs: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "a").mkdir(parents=True)
    for name in ("a/b.png", "a_b.png", "c.png"):
        shutil.copy(photographs / "rocket.png", source / name)
    pairs = synthesize(source, out, "mask-box")
    assert not next(pairs).error
    (out / "target" / "c.png").write_bytes(b"mine")
    same, blocked = pairs
    assert same.name == "a_b.png" and blocked.name == "c.png" and "exists already" in same.error + blocked.error
    found = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert found == {"input/a_b.png", "target/a_b.png", "mask/a_b.png", "target/c.png"}
    assert (out / "target" / "c.png").read_bytes() == b"mine"


def test_what_is_refused(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for arguments, message in (
        ({"output": tmp_path / "full"}, "not empty"),
        ({"output": photographs / "new"}, "lies in .*: choose another folder"),
        ({"severity": 1.2}, "between 0 and 1"),
        ({"degradation": "fog"}, "unknown degradation"),
        ({"degradation": "snow", "depth": tmp_path}, "only haze"),
    ):
        options = {"output": tmp_path / "out", "degradation": "rain", **arguments}
        with pytest.raises(ConfigError, match=message):
            list(synthesize(photographs, **options))


def test_a_strip_goes_from_nothing_to_everything(photographs: Path) -> None:
    image = images.read(photographs / "coffee.png")
    strip = severities(image, "noise", count=4, seed=2).pixels
    parts = strip.chunk(4, dim=-1)
    torch.testing.assert_close(parts[0], image.pixels, atol=1e-6, rtol=0)
    errors = [float((part - image.pixels).abs().mean()) for part in parts]
    assert errors == sorted(errors)


def test_what_is_made_is_what_a_file_would_hold() -> None:
    made = degrade_image(torch.rand(3, 20, 20) * 2 - 1, degradation_named("noise-25"), 5)
    levels = (made + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    again = named("noise-25")(torch.full((1, 3, 9, 9), 0.5), Random([0]), 1.0)
    assert abs(float((again - 0.5).std()) * 255 - 25) < 4
