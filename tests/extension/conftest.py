"""Packages outside of the tree, as installed ones: a module and its metadata in a folder on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from restore.schema.extensions import _installed, warn_once

Package = Callable[..., Path]


def write_package(site: Path, name: str, source: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> Path:
    """Write a package and the metadata that an installer would; return its folder.

    Args:
        site: folder on the path.
        name: of the distribution; the package's name has `_` for `-`.
        source: file name to text.
        points: group to name to object, `module:Class`.
    """
    package = site / name.replace("-", "_")
    package.mkdir(parents=True)
    for file, text in {"__init__.py": "", **source}.items():
        (package / file).write_text(text)
    metadata = site / f"{package.name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return package


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A function that installs a package for this process: `package(name, source, points)`."""
    site, before = tmp_path / "site", set(sys.modules)
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, source: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> Path:
        written = write_package(site, name, source, points)
        _installed.cache_clear()
        return written

    warn_once.cache_clear()
    yield install
    for module in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[module], "__file__", None)):
            del sys.modules[module]
    monkeypatch.undo()
    _installed.cache_clear()
    warn_once.cache_clear()
