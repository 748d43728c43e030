"""The structure of guided-diffusion's networks, read off their tensors' shapes.

A residual block that halves the resolution has the same tensors as one that does not. The decoder separates them: its
upsampling blocks follow others, and there are as many of them. A classifier has no decoder; there the pattern of
attention and widths decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore.errors import CheckpointError, TensorMismatch
from restore.models.published.keymap import Shapes
from restore.networks.encoder import Pool

__all__ = ["Ways", "find_ways", "pool_of"]

GUIDED_NORM = "out_layers.0.weight"
LEAVES = ("in_layers.0.weight", "in_layers.2.weight", "emb_layers.1.weight", GUIDED_NORM, "out_layers.3.weight")


@dataclass(frozen=True)
class Ways:
    """Widths of the levels, blocks of a level, the levels with attention, and how the resolution is halved."""

    channels: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    shrink: Literal["conv", "residual", "pool"]


def find_ways(shapes: Shapes, prefix: str, depth: tuple[int, str] | None = None) -> Ways:
    """Return the structure of a network.

    Args:
        shapes: of the file's tensors.
        prefix: before `input_blocks` in their names.
        depth: blocks of a level and where that was said, which decides where shapes leave a choice.

    Raises:
        TensorMismatch: no structure fits; a tensor is missing or left over.
        CheckpointError: several fit, and nothing decides.
    """
    inputs = shapes.run(f"{prefix}input_blocks", gap=1)
    if len(inputs) < 2:
        raise TensorMismatch(
            f"the file has no {shapes.called(prefix + 'input_blocks.1')}, which every file of this family has"
        )
    total = inputs[-1]  # modules behind the stem; a pooling leaves a gap in the numbers
    if shapes.count(f"{prefix}output_blocks") > 1:
        blocks = _blocks_by_way_up(shapes, prefix, total)
        found = [_ways(shapes, prefix, total, blocks)]
    else:
        fits = (_ways(shapes, prefix, total, n) for n in range(1, total + 1) if (total + 1) % (n + 1) == 0)
        found = [ways for ways in fits if ways is not None]
        if depth is not None:
            found = [ways for ways in found if ways.blocks == depth[0]] or found
    found = [ways for ways in found if ways is not None]
    if not found:
        odd = _first_odd(shapes, prefix, total)
        raise TensorMismatch(
            f"the blocks in the file form no regular levels; {shapes.called(odd)} is missing or left over"
        )
    return found[0] if len(found) == 1 else _likeliest(found)


def _blocks_by_way_up(shapes: Shapes, prefix: str, total: int) -> int:
    """Return the blocks of a level, from where the way up grows."""
    for n in shapes.run(f"{prefix}output_blocks"):
        path = f"{prefix}output_blocks.{n}"
        if any(shapes.has(f"{path}.{k}.conv") or shapes.count(f"{path}.{k}.in_layers") > 1 for k in (1, 2)):
            return n
    # a pooling has no tensors on either way, but the way down skips its numbers; without one there is one level
    return next((n - 1 for n in range(1, total + 1) if shapes.count(f"{prefix}input_blocks.{n}") < 2), total)


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
        attended = {shapes.count(f"{stage}.1") > 1 for stage in stages}
        if None in widths or len(widths) != 1 or len(attended) != 1:
            return None
        if any(shapes.count(f"{stage}.0.skip_connection") > 1 for stage in stages[1:]):
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
    return shapes.most(0, *(f"{stage}.0.{name}" for name in ("out_layers.3.weight", "out_layers.3.bias", GUIDED_NORM)))


def _kind(shapes: Shapes, path: str, width: int) -> Literal["conv", "residual", "pool"] | None:
    """Return how the module at `path` halves the resolution, or None where it cannot."""
    if shapes.has(f"{path}.0.op"):
        return "conv"
    if shapes.count(path) < 2:
        return "pool"
    plain = _width(shapes, path) == width and not shapes.has(f"{path}.0.skip_connection")
    return "residual" if plain and shapes.count(f"{path}.1") < 2 else None


def _first_odd(shapes: Shapes, prefix: str, total: int) -> str:
    """Return the first tensor that most residual blocks on the way down have and one has not, or what could be it."""
    blocks = [f"{prefix}input_blocks.{n}.0" for n in range(1, total + 1)]
    blocks = [block for block in blocks if shapes.has(f"{block}.in_layers") or shapes.has(f"{block}.out_layers")]
    absent = (f"{block}.{leaf}" for block in blocks for leaf in LEAVES if f"{block}.{leaf}" not in shapes)
    return next(absent, f"{prefix}input_blocks")


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
        TensorMismatch: its output is none that is known, or lacks a tensor.
    """
    if not shapes.has("out"):
        raise TensorMismatch("the file has input_blocks but no output_blocks, and no classifier's output either")
    if shapes.count("out.2") > 3:
        return "attention", shapes.agreed(("out.2.c_proj.weight", 0), ("out.2.c_proj.bias", 0))
    if shapes.count("out.2") > 1 or not shapes.has("out.3"):
        return "spatial", shapes.agreed(("out.2.weight", 0), ("out.2.bias", 0))
    if len(shapes["out.3.weight"]) == 2:
        return "spatial_v2", shapes["out.3.weight"][0]
    return "adaptive", shapes.take("out.3.weight", 4)[0]
