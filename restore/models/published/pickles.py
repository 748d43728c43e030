"""Files of `torch.save`, read without running a line of the pickle inside them.

A machine that knows nothing but tensors and plain values runs the pickle twice (`restore.models.published.machine`).
In the first run a tensor is a header: that shows which names the file wants, and how large each tensor claims to be.
Only a file that wants nothing but tensors, plain containers and `argparse.Namespace`, whose tensors lie inside its own
bytes and whose bytes have the checksums that it holds, is run again; its tensors are then memory-mapped.
"""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from restore.errors import CheckpointError, UnsafeCheckpoint
from restore.models.published.archives import (
    Archive,
    Region,
    legacy_archive,
    legacy_regions,
    refuse_others,
    zip_archive,
)
from restore.models.published.machine import Inert, Machine, Malformed, Refused, checked_dict

__all__ = ["Header", "inspect", "load_pickle"]

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
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}
MOST_AXES = 64
MOST_UNKNOWN = 100  # uses of names that no file of weights needs, before reading on is given up
# what training frameworks keep beside the weights; it stands still like everything, and is passed over
FOREIGN = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "omegaconf.",
    "numpy.core.multiarray.",
    "numpy._core.multiarray.",
    "torch.optim.",
)
PASSED_OVER = {
    "_codecs.encode",
    "__builtin__.set",
    "builtins.set",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "typing.Any",
}


class Header(NamedTuple):
    """The header of a tensor in a file.

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


def first(value: Any, *_: Any) -> Any:
    """Return the tensor of a parameter."""
    return value


def sized(values: Any = ()) -> tuple[Any, ...]:
    """Return a `torch.Size` as a tuple."""
    if not isinstance(values, list | tuple) or not all(isinstance(value, int) for value in values):
        raise Malformed("a size is made of something else than numbers")
    return tuple(values)


def namespace() -> argparse.Namespace:
    """Return an empty namespace; it has no other arguments in a pickle."""
    return argparse.Namespace()


class TensorMachine(Machine):
    """The machine that knows tensors.

    Args:
        make: what becomes of a tensor.
    """

    def __init__(self, make: Callable[[Header], Any]) -> None:
        super().__init__()
        self.make = make
        self.unknown: list[str] = []
        self.storages: dict[str, Storage] = {}
        self.headers: list[Header] = []
        self.names: dict[str, Any] = {
            "collections.OrderedDict": self.ordered,
            "collections.defaultdict": self.default,
            "torch._utils._rebuild_tensor": self.rebuild,
            "torch._utils._rebuild_tensor_v2": self.rebuild,
            "torch._utils._rebuild_parameter": first,
            "torch._utils._rebuild_parameter_with_state": first,
            "torch._tensor._rebuild_from_type_v2": self.rebuild_subclass,
            "torch.nn.parameter.Parameter": first,
            "torch.Tensor": Inert,
            "torch.device": torch.device,
            "torch.Size": sized,
            "argparse.Namespace": namespace,
            **{f"torch.{name}": dtype for name, dtype in STORAGES.items()},
            **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
        }

    def ordered(self, pairs: Any = ()) -> OrderedDict[Any, Any]:
        """Return an ordered dictionary of pairs."""
        return OrderedDict(checked_dict(pairs, self.charge))

    def default(self, _: Any = None, pairs: Any = ()) -> dict[Any, Any]:
        """Return the dictionary of one with default values."""
        return checked_dict(pairs, self.charge)

    def find(self, name: str) -> Any:
        """Return the stand-in of a name; nothing is imported."""
        if name in self.names:
            return self.names[name]
        if not name.startswith(FOREIGN) and name not in PASSED_OVER:
            self.unknown.append(name)
            if len(self.unknown) > MOST_UNKNOWN:
                raise Refused("it wants to use a great many names")
        return Inert

    def persistent(self, identity: Any) -> Storage:
        """Return what the pickle says of a storage."""
        old = isinstance(identity, tuple) and len(identity) == 6 and identity[5] is None
        if not (isinstance(identity, tuple) and (len(identity) == 5 or old) and identity[0] == "storage"):
            raise Malformed("it refers to something outside that is not a storage")
        _, dtype, key, _, numel = identity[:5]
        if not (isinstance(dtype, torch.dtype) and isinstance(key, str) and isinstance(numel, int) and numel >= 0):
            raise Malformed("it describes a storage by something else than a type, a key and a length")
        storage = Storage(dtype, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise Malformed(f"it describes storage {key} in two ways")
        return storage

    def rebuild(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
        """Return what becomes of a tensor."""
        numbers = [offset, *shape, *stride] if isinstance(shape, tuple) and isinstance(stride, tuple) else [None]
        if not isinstance(storage, Storage) or any(not isinstance(n, int) or n < 0 for n in numbers):
            raise Malformed("a tensor is described by something else than numbers")
        if len(shape) != len(stride) or len(shape) > MOST_AXES:
            raise Malformed("a tensor has more sizes than strides, or fewer, or too many")
        header = Header(storage.dtype, shape, stride, offset, storage.key)
        self.headers.append(header)
        return self.make(header)

    def rebuild_subclass(self, function: Any, kind: Any, args: Any, *_: Any) -> Any:
        """Return what becomes of a tensor that carries further fields, which are passed over."""
        if function not in (self.rebuild, first) or not isinstance(args, tuple):
            raise Malformed("a tensor is made by something else than a tensor's function")
        return function(*args)


def inspect(path: Path) -> Any:
    """Return the content of a file of `torch.save` with a `Header` in place of each tensor.

    Raises:
        UnsafeCheckpoint: the pickle wants anything but tensors and plain values; names what it wants.
        CheckpointError: the file is empty, damaged, no file of torch.save, or claims more than its bytes hold.
    """
    return _examined(path)[0]


def load_pickle(path: Path) -> Any:
    """Return the content of a file of `torch.save`, its tensors memory-mapped on the CPU.

    Raises:
        UnsafeCheckpoint: see `inspect`, which runs first.
        CheckpointError: see `inspect`; or bytes differ from their checksum.
    """
    content, archive, regions = _examined(path)
    archive.check()
    bases: dict[str, torch.UntypedStorage] = {}
    whole = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)

    def make(header: Header) -> Tensor:
        if header.storage not in bases:
            offset, length, _ = regions.get(header.storage, Region(0, 0))
            base = whole[offset : offset + length]
            # numbers that do not lie at a multiple of their size, as in old files, are copied
            bases[header.storage] = base.clone() if offset % header.dtype.itemsize else base
        empty = torch.empty(0, dtype=header.dtype)
        return empty.set_(bases[header.storage], header.offset, header.shape, header.stride)

    try:
        content, _ = TensorMachine(make).run(archive.program, archive.start)
    except (Malformed, Refused, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
    return content


def _examined(path: Path) -> tuple[Any, Archive, dict[str, Region]]:
    """Return the content with headers, the archive, and where its storages lie."""
    archive = legacy_archive(path) if refuse_others(path) else zip_archive(path)
    machine = TensorMachine(lambda header: header)
    regions = archive.regions
    try:
        content, end = machine.run(archive.program, archive.start)
        if archive.legacy and not machine.unknown:
            storages = machine.storages
            regions = legacy_regions(archive, end, lambda key: storages[key].dtype.itemsize if key in storages else 1)
    except (Malformed, RuntimeError) as error:
        _refuse_unknown(path, machine.unknown)
        raise CheckpointError(f"the pickle in {path} is damaged: {error}") from None
    except Refused as error:
        _refuse_unknown(path, machine.unknown)
        raise UnsafeCheckpoint(f"{path} was not loaded: {error}") from None
    _refuse_unknown(path, machine.unknown)
    for key, storage in machine.storages.items():
        held = regions[key].length if key in regions else 0
        if storage.numel * storage.dtype.itemsize > held:
            raise CheckpointError(
                f"{path} claims {storage.numel} values of {storage.dtype} for storage {key!r}, "
                f"but holds {held} bytes of it; the file is damaged or malicious"
            )
    for header in machine.headers:
        _check_bounds(path, header, machine.storages[header.storage].numel)
    return content, archive, regions


def _check_bounds(path: Path, header: Header, held: int) -> None:
    """Raise where a tensor reaches beyond the values of its storage, or repeats them."""
    steps = (step * (size - 1) for size, step in zip(header.shape, header.stride, strict=True))
    end = header.offset + sum(steps) + 1 if 0 not in header.shape else header.offset
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


def _refuse_unknown(path: Path, unknown: list[str]) -> None:
    if unknown:
        found = list(dict.fromkeys(unknown))
        names = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
        raise UnsafeCheckpoint(
            f"{path} was not loaded: it wants to use {names}, and a file of weights needs nothing but tensors; "
            "if you trust its maker, save the state_dict alone with the code that made it"
        )
