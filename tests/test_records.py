"""What version 0.1 gave is what is given now: recorded outputs of all models, families and trainings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "record_outputs.py"
CLOSE = 1e-5


@pytest.fixture(scope="module")
def records() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_outputs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_outputs_are_those_that_were_recorded(records: ModuleType, one_thread: None) -> None:
    values, seen = load_file(records.FOLDER / "values.safetensors"), set()
    for name, output in records.outputs():
        seen.add(name)
        found = records.kept(output)
        assert found.shape == values[name].shape, name
        assert torch.allclose(found, values[name], rtol=CLOSE, atol=CLOSE), name
    assert seen == set(values)
