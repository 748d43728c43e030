"""The same weights in every wrapping and precision that circulates: the same tensors, recipe and outputs."""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn

from restore.contracts import Condition
from restore.errors import CheckpointError, TensorMismatch
from restore.models.native import assemble
from restore.models.published import open_checkpoint, pickles
from restore.models.published.unwrap import unwrap
from restore.networks import NetworkSpec

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FILES = {
    "weather_diffusion": "weatherdiffusion/ckpts/RainDrop_ddpm.pth.tar",
    "palette": "palette/guided_diffusion/190_Network.pth",
    "palette_sr3": "palette/sr3/190_Network.pth",
    "sr3": "sr3/sr3/I1560000_E91_gen.pth",
    "ddpm": "sr3/ddpm/I30000_E3_gen.pth",
    "guided_diffusion": "guided_diffusion/superres/model100000.pt",
}
STATES = {
    family: dict(unwrap(GOLDEN / file, pickles.load_pickle(GOLDEN / file)).state) for family, file in FILES.items()
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


class Callback:
    """Stands for a class of a training framework, by which its older files call what a callback keeps."""


Callback.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
Callback.__qualname__ = Callback.__name__ = "ModelCheckpoint"
FRAMEWORK = {"pytorch_lightning": ModuleType("x"), "pytorch_lightning.callbacks": ModuleType("x")}
FRAMEWORK[Callback.__module__] = ModuleType("x")
FRAMEWORK[Callback.__module__].ModelCheckpoint = Callback


def named(before, inside="", drop=""):
    """Return what puts a part before each name, and one behind its first part."""

    def change(state):
        def name(key):
            first, dot, rest = key.removeprefix(drop).partition(".")
            return before + first + dot + (inside if dot else "") + rest

        return {name(key): value for key, value in state.items()}

    return change


NAMES = {
    "as it is": dict,
    "parallel": named("module."),
    "compiled": named("_orig_mod."),
    "both": named("module._orig_mod."),
    "parallel inside": named("", "module."),
    "compiled inside a module": named("model.", "_orig_mod."),
    **{part: named(f"{part}.") for part in ("model", "net", "diffusion_model", "generator", "netG", "anything")},
    "deep": named("model.diffusion_model.module."),
    "a network alone": named("", drop="denoise_fn."),
    "a network alone, parallel": named("module.", drop="denoise_fn."),
}


def other(state):
    """Return other weights of the same network."""
    return {name: value + 1 for name, value in state.items()}


DICTIONARIES = {
    "none": dict,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optim": {"state": {0: {"step": torch.ones(2)}}}, "lr": 1e-4},
    "model.state_dict": lambda state: {"model": {"state_dict": state, "args": {"a": 1}}},
    "ema.shadow": lambda state: {"model": other(state), "ema": {"decay": 0.999, "shadow": state}},
    "params_ema": lambda state: {"params": other(state), "params_ema": state},
    "ema": lambda state: {"ema": state, "state_dict": other(state)},
    "averaged": lambda state: {"n_averaged": torch.tensor(7), **{f"module.{k}": v for k, v in state.items()}},
    "average beside": lambda state: {
        **{f"ema_model.{name}": value for name, value in state.items()},
        **{f"online_model.{name}": value for name, value in other(state).items()},
        "initted": torch.tensor(True),
        "step": torch.tensor(9),
    },
    "lightning": lambda state: {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": OrderedDict(state),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {Callback: {"best": torch.tensor(0.5)}, "EarlyStopping{'monitor': None}": {"wait": 0}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"params": [0]}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-4, "who": Callback()},
    },
}


def opened(state, *, folder, family, legacy=False):
    """Return what is made of a file with this content, under the name that the family's files have."""
    path = Path(folder) / Path(FILES[family]).name
    with patch.dict(sys.modules, FRAMEWORK):
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_checkpoint(path)


def outputs(found):
    """Return what a network makes of fixed inputs."""
    spec = TypeAdapter(NetworkSpec).validate_python(found.recipe["network"])
    network = assemble(spec.build, {k: v.clone() for k, v in found.tensors.items()}, "test").eval()
    x = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.no_grad():
        return network(x, torch.tensor([0.4]), Condition(x.flip(-1), torch.zeros(1, dtype=torch.int64)))


@pytest.mark.parametrize("family", list(FILES))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(
    names=st.sampled_from(list(NAMES)),
    dictionary=st.sampled_from(list(DICTIONARIES)),
    dtype=st.sampled_from(DTYPES),
    legacy=st.booleans(),
)
def test_the_same_model_in_any_wrapping(family, names, dictionary, dtype, legacy):
    state = STATES[family]
    cast = {name: value.to(dtype) for name, value in state.items()}
    with TemporaryDirectory() as folder, TemporaryDirectory() as beside:
        plain = opened(state, folder=beside, family=family)  # tensors stay mapped: no file may replace another
        wrapped = opened(DICTIONARIES[dictionary](NAMES[names](cast)), folder=folder, family=family, legacy=legacy)
        assert wrapped.recipe == plain.recipe
        assert list(wrapped.tensors) == list(plain.tensors)
        for name, value in wrapped.tensors.items():
            assert torch.equal(value, plain.tensors[name].to(dtype).float()), name
        expected = plain._replace(components={"network": {k: v.to(dtype).float() for k, v in plain.tensors.items()}})
        assert torch.equal(outputs(wrapped), outputs(expected))


@pytest.mark.parametrize("family", list(FILES))
@pytest.mark.parametrize("names", ["parallel", "compiled inside a module", "deep", "a network alone"])
@pytest.mark.parametrize("fault", ["missing", "shape", "nan", "integers"])
def test_an_error_names_the_key_of_the_file(tmp_path, family, names, fault):
    state = NAMES[names](STATES[family])
    name = next(key for key in state if key.endswith("conv1.weight") or key.endswith("in_layers.2.weight")
                or key.endswith("block1.block.3.weight"))  # fmt: skip
    if fault == "missing":
        del state[name]
    elif fault == "shape":
        state[name] = state[name].transpose(0, 1)[:, :1].contiguous()
    elif fault == "nan":
        state[name] = state[name].clone().index_fill_(0, torch.tensor([0]), float("nan"))
    else:
        state[name] = state[name].to(torch.int32)
    with pytest.raises(CheckpointError) as caught:
        opened(state, folder=tmp_path, family=family)
    shown = str(caught.value)
    assert any(f"{before}{name}{after}" in shown for before in (" ", "in ") for after in (" ", ";", ",", ""))


@pytest.mark.parametrize(("family", "name"), [("sr3", "betas"), ("sr3", "posterior_variance"), ("palette", "gammas")])
def test_a_table_of_another_length(tmp_path, family, name):
    table = STATES[family][name]
    state = {**STATES[family], name: table[:-1].clone()}
    with pytest.raises(TensorMismatch, match=rf"{name} is \({len(table) - 1},\), expected \({len(table)},\)"):
        opened(state, folder=tmp_path, family=family)


def test_tables_of_another_length_than_the_config_says(tmp_path):
    path = tmp_path / "190_Network.pth"
    torch.save(STATES["palette"], path)
    with pytest.raises(TensorMismatch, match=r"gammas is \(2000,\), expected \(1000,\)"):
        open_checkpoint(path, None, ["beta_schedule.train.n_timestep=1000"])


@pytest.mark.parametrize("name", ["betas", "denoise_fn.downs.0.weight"])
def test_not_a_number_in_a_table_or_a_weight(tmp_path, name):
    state = {**STATES["sr3"], name: torch.full_like(STATES["sr3"][name], float("nan"))}
    with pytest.raises(TensorMismatch, match=rf"NaN or infinity in {name}"):
        opened(state, folder=tmp_path, family="sr3")


def test_tables_that_want_a_gradient_warn_of_nothing(tmp_path):
    state = {name: nn.Parameter(value) for name, value in STATES["sr3"].items()}
    assert opened(state, folder=tmp_path, family="sr3").recipe["schedule"]["kind"] == "linear"


def test_names_of_several_lines_stay_on_one(tmp_path):
    state = {**STATES["sr3"], "denoise_fn.a\nb\x1b[31m" + "c" * 5000: torch.zeros(3)}
    with pytest.raises(TensorMismatch) as caught:
        opened(state, folder=tmp_path, family="sr3")
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 2000
    assert r"left over denoise_fn.a\nb\x1b[31mccc" in str(caught.value)


def test_what_was_assumed_is_one_line(tmp_path):
    found = opened(STATES["guided_diffusion"], folder=tmp_path, family="guided_diffusion")
    for name in ("num_heads = 4", "use_new_attention_order = False", "noise_schedule = linear"):
        assert name in found.assumed
    assert "\n" not in found.assumed and "dropout" not in found.assumed
