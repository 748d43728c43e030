"""Every whole number that a document can hold has a bound, and no document makes a network that fills the memory."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

import restore
from restore.degradations import Degradation
from restore.errors import ConfigError
from restore.models.card import AnyRecipe
from restore.networks import ClassifierNetworkSpec, NetworkSpec, TwoViewsSpec
from restore.schema import Spec, parse
from restore.training.config import TrainConfig

CONFIG: dict[str, Any] = {
    "model": {"name": "x"},
    "data": {"kind": "clean", "folders": ["x"]},
    "output": "y",
    "stages": [{"until": 10}],
}


def kinds(base: type[Spec]) -> Iterator[type[Spec]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def unbounded(node: Any, path: str) -> Iterator[str]:
    """Yield where a JSON schema accepts any whole number, however large."""
    if isinstance(node, list):
        for child in node:
            yield from unbounded(child, path)
    if isinstance(node, dict):
        if node.get("type") == "integer" and not {"maximum", "exclusiveMaximum", "const", "enum"} & set(node):
            yield path
        for key, child in node.items():
            yield from unbounded(child, f"{path}.{key}" if key not in ("anyOf", "items", "properties") else path)


def test_every_whole_number_of_every_document_has_a_bound() -> None:
    for module in pkgutil.walk_packages(restore.__path__, "restore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    documents = {kind for kind in kinds(Spec) if kind.__module__.startswith("restore.")}
    # what is scored is told by code alone, no file and no user names its numbers
    read = [kind for kind in documents if not kind.__module__.startswith("restore.evaluation.")]
    assert len(read) > 60
    found = {path for kind in read for path in unbounded(TypeAdapter(kind).json_schema(), kind.__qualname__)}
    assert not found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.network.channels", [1_000_000] * 4),
        ("model.network.channels", [4096] * 4),
        ("model.network.blocks", [100_000] * 4),
        ("model.network.channels", [32] * 1000),
        ("model.network.labels", 10**12),
        ("model.network.embedding", 10**10),
        ("model.network.context", 10**9),
        ("model.network.condition_channels", 10**9),
        ("model.network", {"kind": "unet", "blocks": 128}),
        ("model.network", {"kind": "unet", "level": {"width": 2, "hidden": 10**9}}),
        ("model.network", {"kind": "unet", "classes": 10**12}),
        ("model.tiles.size", 2**62),
        ("model.schedule", {"kind": "linear", "steps": 10**9}),
        ("model.sampler.steps", 2**63),
        ("region", 10**9),
        ("region", 4096),
        ("seed", 2**63),
        ("seed", 2**64),
        ("seed", 10**400),
        ("seed", -1),
        ("stages", [{"until": 10**12}]),
        ("stages", [{"until": 10, "regions": 65536}]),
        ("stages", [{"until": 10, "patches": 4096, "patch": 256}]),
        ("data.workers", 10**6),
        ("data.memory_mb", 1e300),
        ("data.degradation.rain.length", [1, 1e9]),
        ("data.degradation.rain.layers", [1, 10**6]),
        ("data.degradation.snow.diameter", [1e9, 1e9]),
    ],
)
def test_absurd_numbers_are_refused_at_once(path: str, value: object) -> None:
    document: dict[str, Any] = {**CONFIG}
    *parents, leaf = path.split(".")
    node = document
    for key in parents:
        node[key] = dict(node.get(key, {}))
        node = node[key]
    node[leaf] = value
    if path == "region" and value == 4096:
        document["stages"] = [{"until": 10, "regions": 64}]
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse(TrainConfig, document, "here")
    assert time.process_time() - start < 5
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def numbers(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the paths of all numbers in a document."""
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from numbers(child, (*path, key))
    if isinstance(node, int | float) and not isinstance(node, bool):
        yield path


WHOLE = parse(TrainConfig, CONFIG, "here").model_dump(mode="json")
NUMBERS = sorted(numbers(WHOLE), key=str)
huge = st.integers(2**31, 2**70) | st.integers(-(2**70), -1) | st.floats(1e10, 1e308) | st.just(float("inf"))


@given(st.sampled_from(NUMBERS), huge)
@settings(max_examples=200, deadline=None)
def test_any_number_made_huge_is_refused_or_harmless(path: tuple, value: float) -> None:
    document = TypeAdapter(TrainConfig).dump_python(parse(TrainConfig, WHOLE, "here"), mode="json")
    node: Any = document
    for key in path[:-1]:
        node = node[key]
    usual, node[path[-1]] = node[path[-1]], value
    start = time.process_time()
    try:
        parse(TrainConfig, document, "here")
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        seed = path[-1] == "seed" and 0 <= value < 2**63  # it allocates nothing
        assert seed or isinstance(usual, float), f"{path} accepts {value}"
    assert time.process_time() - start < 5


def test_networks_that_are_in_use_are_within_the_bounds() -> None:
    from restore.models.find import model_card
    from restore.system import resources

    for name in resources.list_configs("models"):
        assert parse(AnyRecipe, model_card(name).recipe.model_dump(), name)
    largest = {"kind": "unet", "stem": 256, "channels": [256, 256, 512, 512, 1024, 1024], "head_channels": 64}
    assert parse(NetworkSpec, largest, "ADM at 512 pixels")
    classifier = {"kind": "encoder", "channels": [128, 128, 256, 256, 512, 512]}
    assert parse(ClassifierNetworkSpec, classifier, "its classifier")
    assert parse(TwoViewsSpec, {}, "the detector's")
    assert parse(Degradation, {"kind": "rain"}, "rain")
