"""The state of a run in a file: written whole and finite or not at all, and read without running code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore.errors import CheckpointError
from restore.system.atomic import replacing

__all__ = ["check_finite", "read_state", "write_state"]


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a run's state, atomically.

    Raises:
        CheckpointError: it is not finite; the file is left as it is.
    """
    check_finite(state)
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a file; what the loss has learned is under `loss`.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler raised
        raise CheckpointError(f"{path} is damaged and cannot be resumed: {error}") from None
    # files of version 0.1 call it `problem`
    return {"loss": state.get("problem", {}), **state}


def check_finite(state: Mapping[str, Any]) -> None:
    """Raise a CheckpointError unless all numbers of a run's state are finite."""
    named = list(_tensors(state, ""))
    if not named:
        return
    finite = torch.stack([x.isfinite().all().cpu() for _, x in named]).tolist()
    if bad := [name for (name, _), fine in zip(named, finite, strict=True) if not fine]:
        raise CheckpointError(
            f"the run's state at step {state['step']} is not finite and was not saved ({len(bad)} tensors, the first "
            f"{bad[0]}); what was saved before is as it was: lower optimizer.rate and pass --resume"
        )


def _tensors(node: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the floating-point tensors in nested mappings and lists, with the keys on the way to them."""
    if isinstance(node, Tensor):
        if node.is_floating_point():
            yield name, node
    elif isinstance(node, Mapping | list | tuple):
        parts = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, part in parts:
            yield from _tensors(part, f"{name}.{key}" if name else str(key))
