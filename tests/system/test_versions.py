"""The name of the distribution, which is not that of the package, is one everywhere."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from restore.system.versions import DISTRIBUTION, version_of

ROOT = Path(__file__).parents[2]


def test_the_distribution_is_called_as_pyproject_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    own = [need for extra in project["optional-dependencies"].values() for need in extra if "restore" in need]
    assert own and all(need.startswith(f"{DISTRIBUTION}[") for need in own)


def test_the_package_stands_for_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.system.versions.version", {DISTRIBUTION: "1.2.3", "restore": "9"}.__getitem__)
    assert version_of("restore") == "1.2.3"


def test_any_other_is_looked_up_by_its_own_name() -> None:
    assert version_of("torch") == importlib.metadata.version("torch")


def test_the_citation_has_the_version_and_the_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(project['version'])}$", citation, flags=re.M)
    assert re.search(rf"^license: {project['license']}$", citation, flags=re.M)
