"""Devices by name, and where images lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore import Restorer
from restore.errors import ConfigError
from restore.system import devices
from restore.system.devices import fast_dtype, home_of, pick_device, placed
from restore.tasks import Prepared

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_devices_by_name() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert fast_dtype(CPU) in (torch.float32, torch.bfloat16)
    for name in ("gpu", "meta"):
        with pytest.raises(ConfigError, match="auto, cpu or cuda"):
            pick_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="finds no CUDA device"):
            pick_device("cuda")


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    with pytest.raises(ConfigError, match="no device 'cuda:2' here: the last is cuda:1"):
        pick_device("cuda:2")


def test_on_the_cpu_images_stay_where_the_network_is() -> None:
    assert placed("cpu") == CPU
    assert home_of(torch.empty(1, 3, 10**6, 10**6, device="meta"), CPU) == CPU


@needs_cuda
def test_images_that_do_not_fit_stay_on_the_cpu(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(1, 3, 150, 190) * 2 - 1
    restorer = Restorer.from_pretrained(tiny_model, device="cuda", dtype=torch.float32)
    *_, expected = restorer.stream(Prepared(x))
    assert expected.x_t.is_cuda
    monkeypatch.setattr(devices, "HELD", 10**9)
    *_, found = restorer.stream(Prepared(x))
    assert not found.x_t.is_cuda
    torch.testing.assert_close(found.x_t, expected.x_t.cpu(), atol=1e-4, rtol=0)
