"""The lowest versions that are allowed are known, and not above what is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environments() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("environments", ROOT / "scripts" / "environments.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dependency_has_a_lower_bound(environments: ModuleType) -> None:
    pins = dict(pin.split("==") for pin in environments.lower_bounds(ROOT / "pyproject.toml"))
    assert {"torch", "torchvision", "numpy", "pydantic", "pytest"} <= set(pins)
    for name, bound in pins.items():
        assert Version(bound) <= Version(importlib.metadata.version(name)), name


@pytest.mark.parametrize("requirement", ["torch", "torch>=2,<3", "torch==2.1"])
def test_a_dependency_without_a_bound_is_refused(environments: ModuleType, tmp_path: Path, requirement: str) -> None:
    text = f'[project]\ndependencies = ["{requirement}"]\n[project.optional-dependencies]\ntest = ["pytest>=8"]\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must be of the form name>=version"):
        environments.lower_bounds(tmp_path / "pyproject.toml")


def test_an_unknown_environment_is_refused(environments: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        environments.main(["oldest"])
    assert "oldest is not one of newest, lowest" in capsys.readouterr().err
