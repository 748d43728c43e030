"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch

from restore.models import native
from restore.system.atomic import replacing, write_atomically


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "b" / "c"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_is_replaced_and_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    for content in ("first", b"second", "dr\u00fctte"):
        write_atomically(tmp_path / "new" / "a.txt", content)
        expected = content.encode() if isinstance(content, str) else content
        assert (tmp_path / "new" / "a.txt").read_bytes() == expected
    assert os.listdir(tmp_path / "new") == ["a.txt"]
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "new/a.txt")}
    assert len(modes) == 1


def test_a_library_that_puts_a_private_file_in_the_place_changes_no_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with replacing(tmp_path / "a") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    native.save(tmp_path / "b", {"x": torch.zeros(1)}, {})
    assert len({stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a", "b")}) == 1
