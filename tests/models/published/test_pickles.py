"""Files that would run code, fill the memory, or are no files of weights: each refused with its own words."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from restore.errors import CheckpointError, UnsafeCheckpoint
from restore.models.published import pickles


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.pth"
    torch.save({"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}, path)
    return path


def rewritten(source: Path, change) -> Path:
    """Return a copy of a file of torch.save whose records went through `change(name, bytes) -> bytes or None`."""
    target = source.with_name("changed.pth")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    return target


def with_program(source: Path, change) -> Path:
    return rewritten(source, lambda name, data: change(data) if name.endswith("data.pkl") else data)


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_a_pickle_that_would_run_code_does_not(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    torch.save({"w": torch.zeros(2), "x": Canary(canary)}, path)
    with pytest.raises(UnsafeCheckpoint, match=r"wants to use (posix|nt)\.system"):
        pickles.load_pickle(path)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_in_every_protocol(tmp_path, good, protocol):
    """Protocol 4 names globals by strings on the stack, which torch's own reader does not even understand."""
    canary = tmp_path / "canary"
    path = with_program(good, lambda _: pickle.dumps({"x": Canary(canary)}, protocol=protocol))
    with pytest.raises(UnsafeCheckpoint, match=r"(posix|nt)\.system"):
        pickles.load_pickle(path)
    assert not canary.exists()


def test_all_names_are_listed_and_none_is_imported(tmp_path, good):
    program = b"\x80\x02}(X\x01\x00\x00\x00acabsent.module\nThing\n)\x81X\x01\x00\x00\x00bcbuiltins\neval\n)\x81u."
    path = with_program(good, lambda _: program)
    with pytest.raises(UnsafeCheckpoint, match=r"absent\.module\.Thing, builtins\.eval"):
        pickles.load_pickle(path)


def test_a_whole_module_is_refused_by_its_name(tmp_path):
    path = tmp_path / "module.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(UnsafeCheckpoint, match=r"torch\.nn\.modules\.linear\.Linear"):
        pickles.load_pickle(path)


def test_harmless_globals_are_read(tmp_path):
    path = tmp_path / "kept.pth"
    config = argparse.Namespace(a=1, nested=argparse.Namespace(b=[2]), device=torch.device("cpu"))
    flat = torch.arange(10.0)
    content = OrderedDict(
        config=config,
        parameter=nn.Parameter(torch.ones(2)),
        view=flat[2:5],
        grad=torch.ones(2, requires_grad=True),
        half=torch.ones(3, dtype=torch.float16),
        transposed=flat.reshape(2, 5).T,
        size=torch.Size([1, 2]),
        dtype=torch.float32,
    )
    torch.save(content, path)
    headers, loaded = pickles.inspect(path), pickles.load_pickle(path)
    for name in ("parameter", "view", "grad", "half", "transposed"):
        assert (headers[name].shape, headers[name].dtype) == (tuple(content[name].shape), content[name].dtype)
        assert torch.equal(loaded[name].detach(), content[name].detach())
    assert loaded["config"] == config


def test_the_namespace_is_allowed_here_only(tmp_path):
    path = tmp_path / "kept.pth"
    torch.save({"config": argparse.Namespace(a=1)}, path)
    pickles.load_pickle(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(good, keep):
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        pickles.load_pickle(good)


def test_a_damaged_byte_in_the_pickle(good):
    raw = bytearray(good.read_bytes())
    at = raw.index(b"ctorch._utils")
    raw[at] = 0xFE
    good.write_bytes(raw)
    with pytest.raises(CheckpointError, match="damaged"):
        pickles.load_pickle(good)


class Called:
    """Is pickled as a call."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [(argparse.Namespace, (1,)), (torch.Size, (["a"],)), (torch.Size, (3,))])
def test_arguments_that_a_harmless_global_does_not_take(good, call):
    path = with_program(good, lambda _: pickle.dumps({"x": Called(*call)}, protocol=2))
    with pytest.raises(CheckpointError, match="damaged"):
        pickles.load_pickle(path)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_other_things_are_named(tmp_path):
    archive = tmp_path / "very_old.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"), io.BytesIO(b""))
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as file:
        file.writestr("readme.txt", "hello")
    cases = {
        archive: "tar archive",
        plain: "not one of torch.save",
        write(tmp_path / "empty", b""): "is empty",
        write(tmp_path / "page.pth", b"<!DOCTYPE html><html>"): "web page",
        write(tmp_path / "noise", b"\x00\x01\x02\x03"): "neither",
        write(tmp_path / "bare.pkl", pickle.dumps({"w": 1})): "bare pickle",
        tmp_path / "absent.pth": "cannot read",
        tmp_path: "cannot read",
    }
    for path, words in cases.items():
        with pytest.raises(CheckpointError, match=words):
            pickles.load_pickle(path)


def test_a_script_module(tmp_path, good):
    target = tmp_path / "script.pt"
    shutil.copy(good, target)
    with zipfile.ZipFile(target, "a") as file:
        file.writestr("good/constants.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        pickles.load_pickle(target)


def test_a_zip_bomb(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb/data.pkl", pickle.dumps({}, protocol=2))
        file.writestr("bomb/data/0", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="fill the memory"):
        pickles.load_pickle(path)


def claim(data: bytes, old: int, new: int) -> bytes:
    """Return a pickle with one small number replaced by a large one."""
    assert data.count(b"K" + bytes([old])) == 1
    return data.replace(b"K" + bytes([old]), b"J" + struct.pack("<i", new))


def test_a_storage_that_is_larger_than_the_file(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"w": torch.zeros(77)}, path)
    with zipfile.ZipFile(path) as file:
        program = file.read("file/data.pkl")
    assert program.count(b"K" + bytes([77])) == 2  # the storage's length, then the tensor's
    storage = program.replace(b"K" + bytes([77]), b"J" + struct.pack("<i", 2**31 - 1), 1)
    with pytest.raises(CheckpointError, match="claims 2147483647 values"):
        pickles.load_pickle(with_program(path, lambda _: storage))


def test_a_tensor_that_is_larger_than_its_storage(tmp_path):
    """torch would enlarge the storage, and with it the memory that it takes."""
    path = tmp_path / "file.pth"
    torch.save({"w": torch.zeros(7, 11)}, path)
    with pytest.raises(CheckpointError, match="reaches value"):
        pickles.load_pickle(with_program(path, lambda data: claim(data, 7, 2**30)))


@pytest.mark.parametrize("size", [12, 2**30])
def test_a_tensor_that_repeats_its_storage(tmp_path, size):
    """Strides of 0 let one value pose as gigabytes, which a copy would allocate."""
    path = tmp_path / "file.pth"
    torch.save({"w": torch.zeros(11).as_strided((7, 11), (0, 1))}, path)
    with pytest.raises(CheckpointError, match="repeats the 11 values"):
        pickles.load_pickle(with_program(path, lambda data: claim(data, 7, size)))


def test_negative_sizes(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"w": torch.zeros(7, 11)}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        pickles.load_pickle(with_program(path, lambda data: claim(data, 7, -5)))


def test_memory_of_the_machine_that_runs_pickles(good):
    """A memo index of four billion makes Python's own machine allocate a table for as many; ours keeps one entry."""
    program = b"\x80\x02}r\xff\xff\xff\x7f."
    assert pickles.load_pickle(with_program(good, lambda _: program)) == {}
    program = b"\x80\x05\x96\xff\xff\xff\xff\x0f\x00\x00\x00."
    with pytest.raises(CheckpointError):
        pickles.load_pickle(with_program(good, lambda _: program))


def test_storages_of_a_device_that_is_not_here(golden):
    """The recorded WeatherDiffusion file says cuda:0 of every storage."""
    g = golden("weatherdiffusion")
    path = g.folder / g.facts["checkpoint"]["file"]
    with zipfile.ZipFile(path) as archive:
        program = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        assert b"cuda:0" in archive.read(program)
    content = pickles.load_pickle(path)
    assert {value.device.type for value in content["ema_helper"].values()} == {"cpu"}
