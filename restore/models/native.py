"""Native checkpoints: safetensors with the whole recipe in the file's metadata.

The metadata holds one key, `restore`, with JSON: `{"format": 1, "recipe": {...}, "training": {...}}`. Nothing in such
a file can run code, and a file is complete: no config beside it can go missing or belong to another.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from restore.errors import CheckpointError, TensorMismatch
from restore.networks import build_empty
from restore.system.atomic import replacing

__all__ = ["assemble", "fill", "has_recipe", "is_safetensors", "load", "read_metadata", "save"]

FORMAT = 1
KEY = "restore"
MAX_HEADER = 100 * 1024 * 1024


def is_safetensors(path: Path) -> bool:
    """Return whether the file begins like a safetensors file (its first 8 bytes are the length of a JSON header)."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= min(size - 8, MAX_HEADER)


def save(
    path: Path, tensors: Mapping[str, Tensor], recipe: Mapping[str, Any], training: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint atomically: the old file stays whole until the new one is complete.

    Args:
        path: where to; the folder is created.
        tensors: the network's state.
        recipe: what the model is, as plain JSON values.
        training: how it was made: data, licence, command, scores.
    """
    document = json.dumps({"format": FORMAT, "recipe": recipe, "training": training or {}})
    with replacing(path) as temporary:
        save_file({key: alone(value) for key, value in tensors.items()}, temporary, {KEY: document})


def alone(value: Tensor) -> Tensor:
    """Return a tensor on the CPU that shares its memory with no other; itself where it does not anyway."""
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()


def has_recipe(path: Path) -> bool:
    """Return whether a safetensors file carries a recipe of this package.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


def read_metadata(path: Path) -> dict[str, Any]:
    """Return `{"format", "recipe", "training"}` without reading any tensor.

    Raises:
        CheckpointError: the file is damaged, or carries no recipe of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None
    if KEY not in metadata:
        raise CheckpointError(f"{path} carries no recipe of this package; `restore models convert` makes such a file")
    try:
        document = json.loads(metadata[KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"the recipe in {path} is not JSON: {error}") from None
    if not isinstance(document, dict) or "recipe" not in document:
        raise CheckpointError(f"the metadata of {path} holds no recipe")
    if document.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {document.get('format')!r}; this version reads format {FORMAT}")
    return document


def load(path: Path) -> dict[str, Tensor]:
    """Return the tensors, memory-mapped on the CPU; pages are read when they are used.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


def assemble(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return a network with these weights; they stay memory-mapped where nothing but them is in the network.

    Filling a large network with random numbers first takes longer than reading it.

    Raises:
        TensorMismatch: see `fill`.
    """
    network = build_empty(build)
    state = network.state_dict()
    if any(name not in state for name, _ in network.named_buffers()):
        network = build()
        fill(network, tensors, source)
        return network
    verify(state, tensors, source)
    typed = {
        key: value if value.dtype == state[key].dtype else value.to(state[key].dtype) for key, value in tensors.items()
    }
    network.load_state_dict(typed, assign=True)
    return network.requires_grad_(True)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy the tensors into the network, each exactly once, in the network's own type.

    Raises:
        TensorMismatch: a tensor is missing, left over, of another shape, or holds NaN or infinity; all are named.
    """
    state = network.state_dict()
    verify(state, tensors, source)
    with torch.no_grad():
        for key, value in state.items():
            value.copy_(tensors[key])


def finite(value: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity; their sum tells that twenty times faster than a look."""
    return not value.is_floating_point() or bool(value.sum().isfinite()) or bool(torch.isfinite(value).all())


def verify(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise where tensors do not fit a network's state.

    Raises:
        TensorMismatch: a tensor is missing, left over, of another shape, or holds NaN or infinity; all are named.
    """
    problems = [f"missing {key}" for key in state if key not in tensors]
    problems += [f"left over {key}" for key in tensors if key not in state]
    for key, value in tensors.items():
        if key not in state:
            continue
        if value.shape != state[key].shape:
            problems.append(f"{key} is {tuple(value.shape)}, the network's is {tuple(state[key].shape)}")
        elif not finite(value):
            problems.append(f"{key} holds NaN or infinity")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise TensorMismatch(f"{source} does not fit its network: {shown}")
