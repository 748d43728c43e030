from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from restore.data.manifest import Manifest, make_manifest
from restore.errors import DataError


def test_manifest_is_what_sha256sum_writes(good: Path, tmp_path: Path) -> None:
    manifest = make_manifest(good)
    assert len(manifest.files) == 16
    lines = manifest.text().splitlines()
    one = good / "input" / "1.png"
    assert lines[0] == f"{hashlib.sha256(one.read_bytes()).hexdigest()}  input/1.png"


def test_digest_follows_contents_and_not_the_place(good: Path, tmp_path: Path) -> None:
    before = make_manifest(good)
    copy = Path(shutil.copytree(good, tmp_path / "copy"))
    (copy / ".hidden").write_text("left out")
    assert make_manifest(copy, workers=1).digest == before.digest
    (copy / "input" / "1.png").write_bytes(b"changed")
    (copy / "input" / "2.png").rename(copy / "input" / "20.png")
    after = make_manifest(copy)
    assert after.digest != before.digest


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in ("gone", "empty"):
        with pytest.raises(DataError):
            make_manifest(tmp_path / root)
    assert Manifest({}).text() == ""


def test_names_with_line_ends_and_backslashes_are_escaped(tmp_path: Path) -> None:
    assert Manifest({"a\r": "1", "b": "2"}).text() == "\\1  a\\r\n2  b\n"
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum here to compare with")
    names = sorted(("plain", "a\nb", "c\\d", "e\\nf"))
    for name in names:
        (tmp_path / name).write_text(name)
    made = make_manifest(tmp_path).text()
    there = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    assert made == subprocess.run(["sha256sum", *names], **there).stdout
    assert subprocess.run(["sha256sum", "--check"], input=made, **there).stdout.count(": OK") == 4
