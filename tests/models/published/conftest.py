"""Numbers that were recorded by running the original code, and the files that it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor, nn

from restore.models.native import assemble
from restore.models.published import open_checkpoint
from restore.models.recipe import Recipe
from restore.networks import EncoderSpec, NetworkSpec
from restore.restoration.restorer import Restorer
from restore.schema import parse

FOLDER = Path(__file__).resolve().parents[2] / "golden"


class Golden:
    """One codebase: its facts, its numbers, its files."""

    def __init__(self, family: str, scratch: Path) -> None:
        self.folder, self.scratch = FOLDER / family, scratch
        self.facts: dict[str, Any] = json.loads((self.folder / "facts.json").read_text())
        self.numbers = load_file(self.folder / "golden.safetensors")

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    def tolerance(self, name: str) -> float:
        """Return the recorded tolerance; inputs of a recorded array have none of their own."""
        return self.facts["tolerance"].get(name, 1e-5 * max(1.0, float(self.numbers[name].abs().max())))

    def close(self, name: str, actual: Tensor) -> None:
        """Compare with a recorded array, within its tolerance; per image where that was recorded."""
        expected = self.numbers[name]
        assert actual.shape == expected.shape, name
        error = (actual - expected).abs()
        each = self.facts.get("tolerance_per_item", {}).get(name)
        if each is not None:
            assert bool((error.flatten(1).amax(1) <= torch.tensor(each)).all()), f"{name} is off by {error.amax()}"
            return
        assert float(error.max()) <= self.tolerance(name), f"{name} is off by {float(error.max())}"

    def config(self, document: dict[str, Any]) -> Path:
        """Return a config file of the original."""
        path = self.scratch / "config.json"
        path.write_text(json.dumps(document))
        return path

    def restorer(self, file: str, config: dict[str, Any] | None = None, *overrides: str, **options: Any) -> Restorer:
        path = None if config is None else self.config(config)
        return Restorer.from_pretrained(
            self.folder / file, "cpu", torch.float32, config=path, overrides=overrides, **options
        )


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Golden]:
    return lambda family: Golden(family, tmp_path)


@cache
def manifests() -> dict[str, dict[str, Any]]:
    return json.loads((FOLDER / "manifests.json").read_text())


@pytest.fixture(scope="session")
def manifest() -> Callable[[str], dict[str, Tensor]]:
    """Return the state of a published model by name, on the meta device."""

    def state(name: str) -> dict[str, Tensor]:
        entry = manifests()[name]
        keys = entry["keys"] or manifests()[entry["same_keys_as"]]["keys"]
        with torch.device("meta"):
            return {key: torch.empty([int(n) for n in shape.split("x")]) for key, shape in keys.items()}

    return state


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "published_name" in metafunc.fixturenames:
        metafunc.parametrize("published_name", list(manifests()))


@pytest.fixture(scope="session")
def network() -> Callable[..., tuple[nn.Module, Any]]:
    """Return the network of a file, and what was recognised in it."""

    def load(path: Path, config: Path | None = None, *overrides: str) -> tuple[nn.Module, Any]:
        opened = open_checkpoint(path, config, overrides)
        spec = TypeAdapter(NetworkSpec | EncoderSpec).validate_python(opened.recipe["network"])
        if opened.recipe.get("kind") != "classifier":
            parse(Recipe, opened.recipe, str(path))
        return assemble(spec.build, opened.tensors, str(path)).eval().requires_grad_(False), opened.conversion

    return load
