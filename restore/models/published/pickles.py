"""Files of `torch.save`, read without running a line of the pickle inside them.

Such a file is a zip archive: one pickle that describes the tensors, and a record with the bytes of each storage. The
pickle is a program that may call anything by name. So it is first run on a dry machine, on which every name is an inert
stand-in: that shows which names it wants, and how large each tensor claims to be. Only a file that wants nothing but
tensors, plain containers and `argparse.Namespace`, and whose tensors lie inside its own bytes, is given to
`torch.load(weights_only=True)`, memory-mapped.
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from restore.errors import CheckpointError, UnsafeCheckpoint

__all__ = ["Header", "inspect", "load"]

MAX_PICKLE = 64 * 2**20
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DTYPES = {str(dtype).removeprefix("torch.") for dtype in STORAGES.values()}
# these opcodes reach names by number or ask for memory before there are bytes to fill it; torch.save writes none
DENIED = {"EXT1", "EXT2", "EXT4", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID"}


class Header(NamedTuple):
    """What a file says of a tensor.

    Attributes:
        dtype: of its numbers.
        shape: as in torch.
        stride: in numbers.
        offset: of its first number in the storage.
        storage: the storage's key in the archive.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: str


class Storage(NamedTuple):
    """A storage as the pickle names it: type, key and the number of values that it claims."""

    dtype: torch.dtype
    key: str
    numel: int


class Inert:
    """Stands for every object that is not a tensor or a container: it takes any arguments and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Return the stand-in whatever it is called with."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Keep a plain dictionary of fields, as a namespace has."""
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None:
        """Ignore it."""

    def extend(self, values: Any) -> None:
        """Ignore them."""


def first(value: Any, *_: Any) -> Any:
    """Return the tensor of a parameter."""
    return value


REBUILD = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}
NAMES: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_parameter": first,
    "torch._utils._rebuild_parameter_with_state": first,
    "torch.nn.parameter.Parameter": first,
    "torch.device": Inert,
    "torch.Size": tuple,
    "argparse.Namespace": Inert,
    **{f"torch.{name}": dtype for name, dtype in STORAGES.items()},
    **{f"torch.{name}": Inert for name in DTYPES},
}


class DryRun(pickle.Unpickler):
    """Runs a pickle with every name replaced by an inert one, and collects the names that no file of weights needs."""

    def __init__(self, program: bytes) -> None:
        super().__init__(io.BytesIO(program), encoding="utf-8")
        self.unknown: list[str] = []
        self.storages: dict[str, Storage] = {}
        self.headers: list[Header] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name; nothing is imported."""
        full = f"{module}.{name}"
        if full in REBUILD:
            return self.rebuild
        if full not in NAMES:
            self.unknown.append(full)
            return Inert
        return NAMES[full]

    def persistent_load(self, pid: Any) -> Storage:
        """Return what the pickle says of a storage."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("it refers to something outside that is not a storage")
        _, dtype, key, _, numel = pid
        if not (isinstance(dtype, torch.dtype) and isinstance(key, str) and isinstance(numel, int) and numel >= 0):
            raise pickle.UnpicklingError("it describes a storage by something else than a type, a key and a length")
        storage = Storage(dtype, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {key} in two ways")
        return storage

    def rebuild(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Header:
        """Return the header of a tensor instead of the tensor."""
        numbers = [offset, *shape, *stride] if isinstance(shape, tuple) and isinstance(stride, tuple) else [None]
        if not isinstance(storage, Storage) or any(not isinstance(n, int) or n < 0 for n in numbers):
            raise pickle.UnpicklingError("a tensor is described by something else than numbers")
        if len(shape) != len(stride):
            raise pickle.UnpicklingError("a tensor has more sizes than strides, or fewer")
        self.headers.append(Header(storage.dtype, shape, stride, offset, storage.key))
        return self.headers[-1]


def inspect(path: Path) -> Any:
    """Return the content of a file of `torch.save` with a `Header` for each tensor; no tensor is read.

    Raises:
        UnsafeCheckpoint: the pickle wants anything else than tensors, containers and namespaces; names it.
        CheckpointError: the file is no such file, is cut short or damaged, or claims more than its bytes hold.
    """
    _refuse_others(path)
    try:
        with zipfile.ZipFile(path) as archive:
            program, records = _records(path, archive)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path} is cut short or damaged ({error}); download it again") from None
    run = DryRun(program)
    try:
        _scan(path, program)
        content = run.load()
    except UnsafeCheckpoint:
        raise
    except Exception as error:  # whatever a damaged pickle provokes in a machine of inert parts
        _refuse_unknown(path, run.unknown)
        raise CheckpointError(f"the pickle in {path} is damaged: {error}") from None
    _refuse_unknown(path, run.unknown)
    for key, storage in run.storages.items():
        held = records.get(key, 0)
        if storage.numel * storage.dtype.itemsize > held:
            raise CheckpointError(
                f"{path} claims {storage.numel} values of {storage.dtype} for storage {key!r}, "
                f"but holds {held} bytes of it; the file is damaged or malicious"
            )
    for header in run.headers:
        steps = (step * (size - 1) for size, step in zip(header.shape, header.stride, strict=True))
        end = header.offset + sum(steps) + 1 if 0 not in header.shape else header.offset
        held = run.storages[header.storage].numel
        if end > held:
            raise CheckpointError(
                f"{path} claims a tensor of shape {header.shape} that reaches value {end} of storage "
                f"{header.storage!r}, which has {held}; the file is damaged or malicious"
            )
        # with strides of 0 a few values can pose as any number of them, which whoever copies the tensor pays for
        if math.prod(header.shape) > held:
            raise CheckpointError(
                f"{path} claims a tensor of shape {header.shape} that repeats the {held} values of storage "
                f"{header.storage!r}, which no file of weights does; the file is damaged or malicious"
            )
    return content


def load(path: Path) -> Any:
    """Return the content of a file of `torch.save`, its tensors memory-mapped on the CPU.

    Raises:
        UnsafeCheckpoint: see `inspect`, which runs first.
        CheckpointError: see `inspect`.
    """
    inspect(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpoint(f"torch refuses {path}: {' '.join(str(error).split())[:300]}") from None
    except Exception as error:  # whatever real parts make of arguments that inert ones took
        raise CheckpointError(f"{path} is damaged: {' '.join(str(error).split())[:300]}") from None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None


def _refuse_others(path: Path) -> None:
    """Raise for everything that is not a zip archive, saying what it is."""
    head = _head(path)
    if head[:4] == b"PK\x03\x04":
        return
    again = "open it with the torch that made it and save it again with torch >= 1.6"
    if not head:
        problem = "is empty; download it again"
    elif head[257:262] == b"ustar":
        problem = f"is a tar archive as torch wrote them before 0.4, or of something else; {again}"
    elif head[:1] == b"\x80":
        problem = f"is a bare pickle, as torch wrote them before 1.6; it cannot be checked before it is loaded: {again}"
    elif head.lstrip()[:1] == b"<":
        problem = "is a web page, not a file of weights: the download went wrong"
    else:
        problem = "is neither a file of torch.save nor of safetensors"
    raise CheckpointError(f"{path} {problem}")


def _records(path: Path, archive: zipfile.ZipFile) -> tuple[bytes, dict[str, int]]:
    """Return the pickle and the bytes of each storage's record."""
    size = path.stat().st_size
    infos = archive.infolist()
    claimed = sum(info.file_size for info in infos)
    if claimed > size or any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise CheckpointError(
            f"{path} has {size} bytes and claims to hold {claimed}, or is compressed, which torch never does; "
            "it was packed by something else, perhaps to fill the memory"
        )
    names = {info.filename: info for info in infos}
    if len(names) != len(infos):
        raise CheckpointError(f"{path} holds two records of one name; it is damaged or malicious")
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path} is a zip archive, but not one of torch.save (TorchScript cannot be read)")
    if names[pickles[0]].file_size > MAX_PICKLE:
        raise CheckpointError(f"the pickle in {path} has {names[pickles[0]].file_size} bytes; weights need far fewer")
    root = pickles[0].removesuffix("data.pkl") + "data/"
    records = {name.removeprefix(root): info.file_size for name, info in names.items() if name.startswith(root)}
    return archive.read(pickles[0]), records


def _scan(path: Path, program: bytes) -> None:
    """Raise for opcodes that could exhaust the memory of even a dry run."""
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in DENIED:
            raise UnsafeCheckpoint(f"the pickle in {path} uses {opcode.name}, which no file of weights needs")
        if opcode.name in {"LONG_BINPUT", "PUT"} and int(argument) > len(program):
            raise UnsafeCheckpoint(f"the pickle in {path} numbers its memory up to {argument} to exhaust ours")


def _refuse_unknown(path: Path, unknown: list[str]) -> None:
    if unknown:
        names = ", ".join(dict.fromkeys(unknown))
        raise UnsafeCheckpoint(
            f"{path} was not loaded: it wants to use {names}, and a file of weights needs nothing but tensors; "
            "if you trust its maker, save the state_dict alone with the code that made it"
        )
