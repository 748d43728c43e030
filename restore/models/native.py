"""Native checkpoints: safetensors with the whole recipe in the file's metadata.

The metadata holds one key, `restore`, with JSON:

    {"format": 2, "components": ["network"], "recipe": {...}, "training": {...}, "sha256": "..."}

A file holds one network or several (`components`); a tensor is called `component/name`, and the network that the recipe
describes is the component `network`. Format 1, which is read as well, has that one only and calls its tensors by their
names alone. Nothing in such a file can run code, and a file is complete: no config beside it can go missing or belong
to another. `sha256` is of all the rest, so that a single flipped bit is found when the file is opened; files of
format 1 and files without the digest load unchecked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from restore.errors import CheckpointError
from restore.models.fitting import assemble, check_tensors, fill, finite
from restore.system.atomic import replacing

__all__ = [
    "MAIN",
    "assemble",
    "check_tensors",
    "fill",
    "finite",
    "has_recipe",
    "is_safetensors",
    "load",
    "load_components",
    "read_metadata",
    "read_tensors",
    "save",
]

WRITTEN = 2
"""The format that is written; all up to it are read."""

MAIN = "network"
"""The component that the recipe describes."""

KEY = "restore"
COMPONENT = re.compile(r"[a-z][a-z0-9_]*")
MAX_HEADER = 100 * 1024 * 1024
MAX_DOCUMENT = 4 * 1024 * 1024  # of the recipe and how it was trained
MOST_VALUES, MOST_DEPTH = 100_000, 32  # of the same
MOST_NUMBER = 2**63


def is_safetensors(path: Path) -> bool:
    """Return whether the file begins like a safetensors file (its first 8 bytes are the length of a JSON header).

    Raises:
        CheckpointError: it is no file that can be read.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"cannot read {path}: it is no regular file")
    try:
        with path.open("rb") as file:
            head = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= min(size - 8, MAX_HEADER)


def save(
    path: Path,
    components: Mapping[str, Mapping[str, Tensor]] | Mapping[str, Tensor],
    recipe: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint atomically: the old file stays whole until the new one is complete.

    Args:
        path: where to; the folder is created.
        components: the states of the networks by their names (lower case, digits, underscores), or the state of one,
            which becomes the component `network`.
        recipe: what the model is, as plain JSON values.
        training: how it was made: data, licence, command, scores.

    Raises:
        CheckpointError: the name of a component or a tensor is none that the file can hold.
    """
    named = _by_component(components)
    document: dict[str, Any] = {
        "format": WRITTEN,
        "components": list(named),
        "recipe": recipe,
        "training": training or {},
    }
    tensors = {f"{part}/{name}": alone(value) for part, state in named.items() for name, value in state.items()}
    document["sha256"] = digest(document, tensors)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {KEY: json.dumps(document)})


def _by_component(components: Mapping[str, Any]) -> dict[str, Mapping[str, Tensor]]:
    """Return the states by component, whichever form they were given in."""
    if not any(isinstance(value, Mapping) for value in components.values()):
        components = {MAIN: components}
    for part in components:
        if not COMPONENT.fullmatch(part):
            raise CheckpointError(f"a component cannot be called {part!r}: lower case, digits and underscores alone")
    return dict(components)


def digest(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a document and of tensors: names, types, shapes and bytes, whatever their order."""
    found = hashlib.sha256()
    plain = json.loads(json.dumps({key: value for key, value in document.items() if key != "sha256"}))
    found.update(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name].detach()
        found.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        if value.numel():
            found.update(memoryview(value.cpu().contiguous().reshape(-1).view(uint8).numpy()))
    return found.hexdigest()


def alone(value: Tensor) -> Tensor:
    """Return a tensor on the CPU that shares its memory with no other; itself where it does not anyway."""
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()


def has_recipe(path: Path) -> bool:
    """Return whether a safetensors file carries a recipe of this package.

    Raises:
        CheckpointError: the file is damaged.
    """
    return KEY in _metadata(path)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return `{"format", "components", "recipe", "training"}` without reading any tensor.

    Raises:
        CheckpointError: the file is damaged, carries no recipe of this package, or one of a newer format.
    """
    metadata = _metadata(path)
    if KEY not in metadata:
        raise CheckpointError(f"{path} carries no recipe of this package; `restore models convert` makes such a file")
    if len(metadata[KEY]) > MAX_DOCUMENT:
        raise CheckpointError(f"the recipe in {path} has {len(metadata[KEY])} characters; at most {MAX_DOCUMENT} do")
    try:
        document = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the recipe in {path} is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("recipe"), dict):
        raise CheckpointError(f"the metadata of {path} holds no recipe")
    form = document.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or not 1 <= form <= WRITTEN:
        newer = isinstance(form, int) and form > WRITTEN
        raise CheckpointError(
            f"{path} has format {form!r}; this version reads formats 1 to {WRITTEN}"
            + ("; install a newer version of this package" if newer else "")
        )
    document = {"components": [MAIN], "training": {}, **document} if form == 1 else document
    parts = document.get("components")
    if (
        not isinstance(parts, list)
        or not parts
        or not all(isinstance(p, str) and COMPONENT.fullmatch(p) for p in parts)
    ):
        raise CheckpointError(f"the metadata of {path} names its components by something else than a list of names")
    if not isinstance(document.get("training"), dict):
        raise CheckpointError(f"the metadata of {path} says by something else than a mapping how it was trained")
    _check_document(document, path)
    return document


def _check_document(document: Mapping[str, Any], path: Path) -> None:
    """Raise where a document is deeper, longer or has larger numbers than any recipe."""
    left: list[tuple[Any, int]] = [(document, 0)]
    count = 0
    while left:
        node, depth = left.pop()
        count += 1
        if depth > MOST_DEPTH or count > MOST_VALUES:
            raise CheckpointError(
                f"the recipe in {path} is no recipe: it has more than {MOST_VALUES} values, or more than "
                f"{MOST_DEPTH} mappings within each other"
            )
        if isinstance(node, dict):
            left.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list):
            left.extend((value, depth + 1) for value in node)
        elif isinstance(node, int) and abs(node) > MOST_NUMBER:
            raise CheckpointError(f"the recipe in {path} is no recipe: it holds a number above {MOST_NUMBER}")


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of any safetensors file by its own keys, memory-mapped on the CPU.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


def load_components(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the states of the networks in a checkpoint by their names, memory-mapped on the CPU.

    Where the file carries a digest, all of it is read and compared; else pages are read when they are used.

    Raises:
        CheckpointError: the file is damaged, or a tensor belongs to no component.
    """
    document, tensors = read_metadata(path), read_tensors(path)
    if "sha256" in document and digest(document, tensors) != document["sha256"]:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one that was stored when it was written")
    if document["format"] == 1:
        return {MAIN: tensors}
    states: dict[str, dict[str, Tensor]] = {part: {} for part in document["components"]}
    for part, name, value in _split(tensors):
        if part not in states:
            raise CheckpointError(f"{path} holds tensor {part}/{name}, but its components are {', '.join(states)}")
        states[part][name] = value
    return states


def _split(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    """Yield component, name and tensor."""
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        yield part, name, value


def load(path: Path) -> dict[str, Tensor]:
    """Return the state of a checkpoint's main network; see `load_components`.

    Raises:
        CheckpointError: see `load_components`; or the file has no main network.
    """
    components = load_components(path)
    if MAIN not in components:
        raise CheckpointError(f"{path} holds no component {MAIN!r}, only {', '.join(components)}")
    return components[MAIN]
