"""The structure of guided-diffusion's networks, read off their tensors' shapes.

A residual block that halves the resolution has the same tensors as one that does not. The way up tells them apart: its
growing blocks stand behind others, and there are as many of them. A classifier has no way up; there the pattern of
attention and widths decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore.checkpoints.layout import Shapes
from restore.errors import CheckpointError, TensorMismatch
from restore.networks.encoder import Pool

__all__ = ["Ways", "levels", "pool_of"]


@dataclass(frozen=True)
class Ways:
    """Widths of the levels, blocks of a level, the levels with attention, and how the resolution is halved."""

    channels: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    shrink: Literal["conv", "residual", "pool"]


def levels(shapes: Shapes, prefix: str, depth: tuple[int, str] | None = None) -> Ways:
    """Return the structure of a network.

    Args:
        shapes: of the file's tensors.
        prefix: before `input_blocks` in their names.
        depth: blocks of a level and where that was said, which decides where shapes leave a choice.

    Raises:
        TensorMismatch: no structure fits; a tensor is missing or left over.
        CheckpointError: several fit, and nothing decides.
    """
    inputs = shapes.children(f"{prefix}input_blocks")
    if len(inputs) < 2:
        raise TensorMismatch("the file has no input_blocks.1, which every file of this family has")
    total = inputs[-1]  # modules behind the stem; a pooling leaves a gap in the numbers
    if shapes.has(f"{prefix}output_blocks"):
        blocks = _blocks_by_way_up(shapes, prefix, total)
        found = [_ways(shapes, prefix, total, blocks)]
    else:
        fits = (_ways(shapes, prefix, total, n) for n in range(1, total + 1) if (total + 1) % (n + 1) == 0)
        found = [ways for ways in fits if ways is not None]
        if depth is not None:
            found = [ways for ways in found if ways.blocks == depth[0]]
    found = [ways for ways in found if ways is not None]
    if not found:
        raise TensorMismatch("the blocks in the file form no regular levels; a tensor is missing or left over")
    return found[0] if len(found) == 1 else _likeliest(found)


def _blocks_by_way_up(shapes: Shapes, prefix: str, total: int) -> int:
    """Return the blocks of a level, from where the way up grows."""
    outputs = shapes.children(f"{prefix}output_blocks")
    for n in outputs:
        behind = [k for k in shapes.children(f"{prefix}output_blocks.{n}") if k > 0]
        path = f"{prefix}output_blocks.{n}"
        if any(f"{path}.{k}.conv.weight" in shapes or shapes.has(f"{path}.{k}.in_layers") for k in behind):
            return n
    if any(f"{prefix}input_blocks.{n}.0.in_layers.0.weight" not in shapes for n in range(1, total + 1)):
        # a pooling has no tensors on either way, but the way down skips its numbers
        gap = next(n for n in range(1, total + 1) if f"{prefix}input_blocks.{n}.0.in_layers.0.weight" not in shapes)
        return gap - 1
    return total  # one level


def _ways(shapes: Shapes, prefix: str, total: int, blocks: int) -> Ways | None:
    """Return the structure with so many blocks in each level, or None where the tensors contradict it."""
    if (total + 1) % (blocks + 1):
        return None
    count = (total + 1) // (blocks + 1)
    channels, attention, kinds = [], [], set()
    for i in range(count):
        first = 1 + i * (blocks + 1)
        stages = [f"{prefix}input_blocks.{n}" for n in range(first, first + blocks)]
        widths = {_width(shapes, stage) for stage in stages}
        attended = {f"{stage}.1.qkv.weight" in shapes for stage in stages}
        if None in widths or len(widths) != 1 or len(attended) != 1:
            return None
        if any(f"{stage}.0.skip_connection.weight" in shapes for stage in stages[1:]):
            return None
        channels += widths
        if True in attended:
            attention.append(i)
        if i + 1 < count:
            kinds.add(_kind(shapes, f"{prefix}input_blocks.{first + blocks}", channels[-1]))
    if len(kinds) > 1 or None in kinds:
        return None
    return Ways(tuple(channels), blocks, tuple(attention), kinds.pop() if kinds else "residual")


def _width(shapes: Shapes, stage: str) -> int | None:
    name = f"{stage}.0.out_layers.3.weight"
    return shapes[name][0] if name in shapes else None


def _kind(shapes: Shapes, path: str, width: int) -> Literal["conv", "residual", "pool"] | None:
    """Return how the module at `path` halves the resolution, or None where it cannot."""
    if f"{path}.0.op.weight" in shapes:
        return "conv"
    if not shapes.has(path):
        return "pool"
    plain = _width(shapes, path) == width and f"{path}.0.skip_connection.weight" not in shapes
    return "residual" if plain and not shapes.has(f"{path}.1") else None


def _likeliest(found: list[Ways]) -> Ways:
    """Return the structure whose attention is at neighbouring levels down to the last, as published; or raise.

    Raises:
        CheckpointError: several are like that.
    """

    def published(ways: Ways) -> bool:
        return bool(ways.attention) and len(ways.attention) == 3

    likely = [ways for ways in found if published(ways)]
    if len(likely) == 1:
        return likely[0]
    choices = ", ".join(str(ways.blocks) for ways in found)
    raise CheckpointError(
        f"the tensors fit classifiers with {choices} blocks a level alike; say which, as classifier_depth=N"
    )


def pool_of(shapes: Shapes) -> tuple[Pool, int]:
    """Return how a classifier pools, and its number of classes.

    Raises:
        TensorMismatch: its output is none that is known.
    """
    for pool, name in (
        ("attention", "out.2.c_proj.weight"),
        ("adaptive", "out.3.weight"),
        ("spatial", "out.2.weight"),
    ):
        if name not in shapes:
            continue
        if pool == "adaptive" and len(shapes[name]) == 2:
            return "spatial_v2", shapes[name][0]
        return pool, shapes[name][0]  # type: ignore[return-value]
    raise TensorMismatch("the file has input_blocks but no output_blocks, and no classifier's output either")
