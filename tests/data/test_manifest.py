from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from restore.data.manifest import Manifest, make_manifest, read_manifest
from restore.errors import DataError


def test_manifest_is_what_sha256sum_writes(good: Path, tmp_path: Path) -> None:
    manifest = make_manifest(good)
    assert len(manifest.files) == 16
    lines = manifest.text().splitlines()
    one = good / "input" / "1.png"
    assert lines[0] == f"{hashlib.sha256(one.read_bytes()).hexdigest()}  input/1.png"
    (tmp_path / "sums.txt").write_text(manifest.text())
    assert read_manifest(tmp_path / "sums.txt") == manifest


def test_digest_follows_contents_and_not_the_place(good: Path, tmp_path: Path) -> None:
    before = make_manifest(good)
    copy = Path(shutil.copytree(good, tmp_path / "copy"))
    (copy / ".hidden").write_text("left out")
    assert make_manifest(copy, workers=1).digest == before.digest
    (copy / "input" / "1.png").write_bytes(b"changed")
    (copy / "input" / "2.png").rename(copy / "input" / "20.png")
    after = make_manifest(copy)
    assert after.digest != before.digest
    assert before.difference(after) == {
        "missing": ["input/2.png"],
        "added": ["input/20.png"],
        "changed": ["input/1.png"],
    }
    assert not any(before.difference(make_manifest(good)).values())


def test_wrong_manifests_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "sums.txt"
    path.write_text("0" * 64 + "  a.png\nabc a.png\n")
    with pytest.raises(DataError, match="line 2"):
        read_manifest(path)
    with pytest.raises(DataError, match="cannot read"):
        read_manifest(tmp_path / "gone.txt")
    (tmp_path / "empty").mkdir()
    for root in ("gone", "empty"):
        with pytest.raises(DataError):
            make_manifest(tmp_path / root)
    assert Manifest({}).text() == ""
