"""`restore run` on files of all kinds: what it says of those it leaves, and how it encodes what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore.images import read


def scene() -> np.ndarray:
    y, x = np.mgrid[0:40, 0:48]
    return np.stack([x * 5, y * 6, x + y], -1).astype(np.uint8)


def test_files_that_are_not_read_are_named_in_one_line(cli, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(scene()).save(folder / "a.png")
    Image.fromarray(scene()).save(folder / "b.tga")
    for name in ("c.xyz", "d.PSD", "notes.txt", ".hidden.xyz"):
        (folder / name).write_bytes(b"8BPS")
    ran = cli("run", folder, "-o", tmp_path / "out", "-m", tiny_model)
    assert (ran.code, ran.err) == (0, "2 files of kinds that are not read: .PSD, .xyz\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_encoders_follow_the_source_unless_something_else_is_said(cli, tiny_model: Path, tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.webp", lossless=True)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    found = {}
    for name, source, options in (
        ("png.png", "a.png", ()),
        ("webp.webp", "a.webp", ()),
        ("lossy.webp", "a.webp", ("--lossy",)),
        ("coarse.webp", "a.png", ("--quality", 20)),
        ("coarse.jpg", "a.png", ("--quality", 20)),
    ):
        ran = cli("run", tmp_path / source, "-o", tmp_path / name, "-m", tiny_model, *options)
        assert (ran.code, ran.err) == (0, "")
        found[name] = read(tmp_path / name)
    assert np.array_equal(found["webp.webp"].array(np.uint8), found["png.png"].array(np.uint8))
    assert [found[name].encoding.lossless for name in found] == [True, True, False, False, False]
    assert found["coarse.jpg"].encoding.quality == 20


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("b.jpg", ("--lossless",), "a JPEG is never lossless"),
        ("b.webp", ("--lossless", "--quality", 90), "give one of the two"),
    ],
)
def test_encodings_that_cannot_be_are_said_before_any_work(
    cli, tiny_model: Path, tmp_path: Path, name: str, options: tuple, words: str
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    ran = cli("run", tmp_path / "a.png", "-o", tmp_path / name, "-m", tiny_model, *options)
    assert ran.code == 2 and words in ran.err and ran.err.count("\n") == 1


def test_an_odd_resolution_stops_no_batch(cli, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    huge = 4294967295
    tifffile.imwrite(folder / "a.tif", scene(), photometric="rgb", resolution=((huge, 1), (huge, 1)), resolutionunit=2)
    Image.fromarray(scene()).save(folder / "b.png")
    assert cli("run", folder / "a.tif", "-o", tmp_path / "a.png", "-m", tiny_model).code == 0
    assert cli("run", folder, "-o", tmp_path / "out", "-m", tiny_model).code == 0


def test_damage_costs_one_image(cli, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(scene()).save(folder / "a.jpg")
    content = (folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(content[: len(content) * 3 // 4] + b"\xff\xd9")
    ran = cli("run", folder, "-o", tmp_path / "out", "-m", tiny_model)
    assert ran.code == 3 and "b.jpg: it is damaged or cut short" in ran.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jpg"]


def test_what_is_not_seen_changes_no_file(cli, tiny_model: Path, tmp_path: Path) -> None:
    array = np.dstack([scene(), np.full((40, 48), 255, np.uint8)])
    array[10:30, 10:30, 3] = 0
    results = []
    for ink in (0, 255):
        array[array[..., 3] == 0, :3] = ink
        Image.fromarray(array).save(tmp_path / f"{ink}.png")
        ran = cli("run", tmp_path / f"{ink}.png", "-o", tmp_path / f"out{ink}.png", "-m", tiny_model)
        assert (ran.code, ran.err) == (0, "")
        results.append(np.asarray(Image.open(tmp_path / f"out{ink}.png")))
        assert (results[-1][10:30, 10:30] == [ink, ink, ink, 0]).all()
    seen = array[..., 3] > 0
    np.testing.assert_array_equal(results[0][seen], results[1][seen])
