"""Checkpoints of our own: formats 1 and 2, several networks, what is refused, and how little an absurd recipe costs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from restore.errors import CheckpointError, ConfigError, TensorMismatch
from restore.models import native
from restore.models.published import open_checkpoint
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.schema import parse

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
PARTS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
STATES = st.dictionaries(
    st.from_regex(r"[a-z]{1,4}(\.[a-z0-9/]{1,3}){0,2}", fullmatch=True),
    st.tuples(st.lists(st.integers(0, 3), max_size=3), st.sampled_from(TYPES)).map(
        lambda drawn: torch.arange(torch.Size(drawn[0]).numel()).reshape(drawn[0]).to(drawn[1])
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    components=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), STATES, min_size=1, max_size=3)
)
def test_several_networks_in_one_file(tmp_path, components):
    path = tmp_path / "file.safetensors"
    native.save(path, components, {"name": "x"}, {"step": 3})
    found, document = native.load_components(path), native.read_metadata(path)
    assert (document["format"], document["components"]) == (2, list(components))
    assert found.keys() == components.keys()
    for part, state in components.items():
        assert found[part].keys() == state.keys()
        for name, value in state.items():
            assert found[part][name].dtype == value.dtype and torch.equal(found[part][name], value)


def test_one_network_needs_no_name(tmp_path):
    path = tmp_path / "file.safetensors"
    native.save(path, {"a.weight": torch.ones(2)}, {"name": "x"})
    opened = open_checkpoint(path)
    assert list(opened.components) == ["network"] and opened.assumed == ""
    assert opened.tensors["a.weight"].tolist() == native.load(path)["a.weight"].tolist() == [1, 1]


def test_a_file_without_the_main_network(tmp_path):
    path = tmp_path / "file.safetensors"
    native.save(path, {"decoder": {"a": torch.ones(2)}}, {"name": "x"})
    for read in (native.load, lambda path: open_checkpoint(path).tensors):
        with pytest.raises(CheckpointError, match="no component 'network', only decoder"):
            read(path)
    with pytest.raises(CheckpointError, match="cannot be called 'a/b'"):
        native.save(path, {"a/b": {"a": torch.ones(2)}}, {})


def written(path, document, tensors=None):
    save_file(tensors or {"a": torch.ones(2)}, path, {"restore": json.dumps(document)})
    return path


def test_format_1_is_read(tmp_path):
    path = written(tmp_path / "file.safetensors", {"format": 1, "recipe": {"name": "x"}, "training": {}})
    assert native.read_metadata(path)["components"] == ["network"]
    assert native.load(path)["a"].tolist() == [1, 1]


def test_format_2_without_a_digest_is_read(tmp_path):
    document = {"format": 2, "components": ["network"], "recipe": {}, "training": {}}
    path = written(tmp_path / "file.safetensors", document, {"network/a": torch.ones(2)})
    assert native.load(path)["a"].tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="SHA-256"):
        native.load(written(path, {**document, "sha256": "0" * 64}, {"network/a": torch.ones(2)}))
    with pytest.raises(CheckpointError, match="holds tensor other/a, but its components are network"):
        native.load(written(path, document, {"other/a": torch.ones(2)}))


GOOD = {"format": 2, "components": ["network"], "recipe": {}, "training": {}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**GOOD, "format": 3}, "format 3; this version reads formats 1 to 2; install a newer version"),
        ({**GOOD, "format": 10**30}, "install a newer"),
        ({**GOOD, "format": "2"}, "has format '2'"),
        ({**GOOD, "format": True}, "has format True"),
        ({**GOOD, "recipe": [1]}, "holds no recipe"),
        ([1], "holds no recipe"),
        ({**GOOD, "components": {}}, "something else than a list of names"),
        ({**GOOD, "components": ["a/b"]}, "something else than a list of names"),
        ({**GOOD, "training": 3}, "how it was trained"),
        ({**GOOD, "recipe": {"a": 10**30}}, "a number above"),
        ({**GOOD, "recipe": {"a": [0] * 200_000}}, "more than 100000 values"),
        ({**GOOD, "recipe": {"a": "x" * 5_000_000}}, "characters"),
    ],
)
def test_metadata_that_is_none(tmp_path, document, words):
    path = written(tmp_path / "file.safetensors", document)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(path)


NESTED = '{"format": 1, "recipe": {"a": ' + '{"a":' * 60 + "1" + "}" * 60 + "}}"


@pytest.mark.parametrize("text", ["{", "9" * 21_000, '{"a":' + "[" * 100_000, NESTED])
def test_metadata_that_is_no_json_or_too_deep(tmp_path, text):
    path = tmp_path / "file.safetensors"
    save_file({"a": torch.ones(2)}, path, {"restore": text})
    with pytest.raises(CheckpointError, match="recipe"):
        open_checkpoint(path)


ABSURD = {
    "wide": {"channels": [1_000_000] * 4},
    "wider": {"channels": [2**40] * 4},
    "deep": {"blocks": [100_000] * 4},
    "many labels": {"labels": 10**12},
    "more labels": {"labels": 10**18},
    "an embedding": {"embedding": 10**12},
    "a context": {"context": 10**9},
}


@pytest.mark.parametrize("name", list(ABSURD))
def test_an_absurd_network_costs_nothing(tmp_path, tiny_recipe, tiny_model, name):
    path = tmp_path / "file.safetensors"
    document = tiny_recipe.model_dump(mode="json")
    native.save(path, native.load(tiny_model), {**document, "network": {**document["network"], **ABSURD[name]}})
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((TensorMismatch, ConfigError)) as caught:
        Restorer.from_pretrained(path, "cpu")
    assert len(str(caught.value)) <= 2000 and str(caught.value).isprintable()
    # the first use of the meta device may load parts of torch
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


@pytest.mark.parametrize("change", [{"blocks": 10**9}, {"channels": [32] * 5000}])
def test_an_absurd_published_network_is_no_recipe(tiny_recipe, change):
    document = {**tiny_recipe.model_dump(mode="json"), "network": {"kind": "unet", **change}}
    with pytest.raises(ConfigError, match=r"network\.(blocks|channels)"):
        parse(Recipe, document, "test")


def test_a_network_is_fitted_without_the_compiler():
    """Drawing random numbers on the meta device loads torch._dynamo, which takes longer than all the rest."""
    code = (
        "import sys; from restore.models.native import assemble; from restore.networks import UNetSpec; import torch\n"
        "spec = UNetSpec(stem=8, channels=(8,), blocks=1, groups=4, classes=3); state = spec.build().state_dict()\n"
        "network = assemble(spec.build, state, 'x'); assert 'torch._dynamo' not in sys.modules\n"
        "assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
