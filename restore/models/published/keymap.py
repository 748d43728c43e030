"""How an original lays its tensors out: which of theirs make one of ours, and back.

A family says, for each module of our network, what the original calls it. The rules follow from that, and they are the
check as well: every tensor of the file is used once and every parameter of the network is filled, or the error says
what is left over and what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from restore.errors import TensorMismatch
from restore.models.published.state import DEEPEST, called
from restore.networks.encoder import AttentionPool, Encoder, EncoderSpec
from restore.networks.layers import Attention, ResBlock, UNetTrunk
from restore.networks.unet import UNetSpec

__all__ = ["KeyMap", "Rule", "Shapes", "check_keys", "rules", "to_ours", "to_theirs"]

MOST = 6  # problems of a kind that an error lists


@dataclass(frozen=True)
class Rule:
    """One tensor of ours, and those of the original that it is made of.

    Attributes:
        target: our name.
        sources: their names, stacked along the first axis.
        shape: of each source.
        heads: where not 0, their rows lie head by head (q, k and v of the first, then of the second ...), ours lie
            all q, all k, all v.
    """

    target: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    heads: int = 0

    def ours(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return our tensor; a view of theirs where that is possible."""
        parts = [tensors[name].detach() for name in self.sources]
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        if self.heads:
            rows = whole.unflatten(0, (self.heads, 3, -1)).transpose(0, 1).flatten(0, 2)
            whole = rows.contiguous()
        return whole

    def theirs(self, tensor: Tensor) -> dict[str, Tensor]:
        """Return their tensors, made of ours."""
        if self.heads:
            tensor = tensor.unflatten(0, (3, self.heads, -1)).transpose(0, 1).flatten(0, 2)
        parts = tensor.chunk(len(self.sources))
        return {name: part.reshape(self.shape).clone() for name, part in zip(self.sources, parts, strict=True)}


@dataclass(frozen=True)
class KeyMap:
    """What an original calls the modules of our network.

    Attributes:
        names: path of our module to the paths of theirs: one, or three where q, k and v are apart.
        block: their names inside a residual block.
        attention: their names inside an attention.
        ones: trailing axes of length 1 of the weights in their attention: 1 for Conv1d, 2 for Conv2d.
        by_head: whether q, k and v lie head by head.
    """

    names: Mapping[str, str]
    block: Mapping[str, str]
    attention: Mapping[str, str | tuple[str, ...]]
    ones: int
    by_head: bool = False


def rules(network: UNetTrunk, layout: KeyMap) -> list[Rule]:
    """Return one rule for each parameter of the network, which may be on the meta device."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = []
    for path, sources, ones, heads in leaves(network, layout):
        for leaf in ("weight", "bias"):
            target = f"{path}.{leaf}"
            if target not in shapes:
                continue
            first, *rest = shapes[target]
            shape = (first // len(sources), *rest, *([1] * ones if leaf == "weight" else []))
            found.append(Rule(target, tuple(f"{source}.{leaf}" for source in sources), shape, heads))
    if "head.position" in shapes:
        name = layout.names["head"] + ".positional_embedding"
        found.append(Rule("head.position", (name,), shapes["head.position"]))
    return found


def leaves(network: UNetTrunk, layout: KeyMap) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Yield each module with weights: our path, their paths, trailing axes of theirs, heads if they lie by head."""
    for path, module in network.named_modules():
        if path in layout.names and not isinstance(module, ResBlock | Attention | AttentionPool):
            pooled = isinstance(network, Encoder) and network.spec.pool == "adaptive" and path == "head"
            yield path, (layout.names[path],), 2 * pooled, 0
        elif isinstance(module, ResBlock):
            for ours, theirs in layout.block.items():
                if not isinstance(module.get_submodule(ours), nn.Identity):
                    yield f"{path}.{ours}", (f"{layout.names[path]}.{theirs}",), 0, 0
        elif isinstance(module, Attention):
            for ours, theirs in layout.attention.items():
                sources = tuple(
                    f"{layout.names[path]}.{name}" for name in ([theirs] if isinstance(theirs, str) else theirs)
                )
                by_head = layout.by_head and ours == "qkv" and module.heads > 1
                yield f"{path}.{ours}", sources, 0 if ours == "norm" else layout.ones, module.heads * by_head
        elif isinstance(module, AttentionPool):
            yield f"{path}.qkv", (f"{layout.names[path]}.qkv_proj",), layout.ones, 0
            yield f"{path}.out", (f"{layout.names[path]}.c_proj",), layout.ones, 0


def stages_down(spec: UNetSpec | EncoderSpec) -> Iterator[tuple[str, str | None]]:
    """Yield the modules of the way down in order: a stage's path and its attention's, or a shrinking and None."""
    for i in range(len(spec.channels)):
        for j in range(spec.blocks):
            yield f"down.{i}.{j}", f"down.{i}.{j}.attention" if i in spec.attention else ""
        if i + 1 < len(spec.channels):
            yield f"shrink.{i}", None


def stages_up(spec: UNetSpec) -> Iterator[tuple[str, str | None]]:
    """Yield the modules of the way up in order, as `stages_down` does."""
    for i in reversed(range(len(spec.channels))):
        for j in range(spec.blocks + 1):
            yield f"up.{i}.{j}", f"up.{i}.{j}.attention" if i in spec.attention else ""
        if i:
            yield f"grow.{i - 1}", None


class Shapes:
    """The shapes of a file's tensors, as adapters read them.

    A module is there if any of its tensors is, or, where a name more would change what the network is, if two are: so
    that one tensor that is missing or one too many leaves the structure as it is, and is found by `check_keys`.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self.called = called(tensors)
        self.shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        self.held: dict[str, Counter[str]] = {}  # of each prefix: its children, and how many tensors each holds
        for name in self.shapes:
            parts = name.split(".", DEEPEST)
            for n in range(1, len(parts)):
                self.held.setdefault(".".join(parts[:n]), Counter())[parts[n]] += 1

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """Return a shape.

        Raises:
            TensorMismatch: there is no such tensor.
        """
        if name not in self.shapes:
            raise TensorMismatch(f"the file has no tensor {self.called(name)}, which every file of this family has")
        return self.shapes[name]

    def take(self, name: str, axes: int) -> tuple[int, ...]:
        """Return a shape that has so many axes.

        Raises:
            TensorMismatch: there is no such tensor, or it has other axes or an empty one.
        """
        shape = self[name]
        if len(shape) != axes or 0 in shape:
            raise TensorMismatch(f"{self.called(name)} is {shape}, expected {axes} axes, none of them empty")
        return shape

    def run(self, prefix: str, gap: int = 0) -> list[int]:
        """Return the numbers that follow `prefix.` in the names, from the first up to where more than `gap` are absent.

        A last one that holds a single tensor is left over, not a module.
        """
        held = self.held.get(prefix, {})
        found = sorted(int(part) for part in held if len(part) < 7 and part.isascii() and part.isdecimal())
        end = next((i for i in range(1, len(found)) if found[i] - found[i - 1] > gap + 1), len(found))
        found = found[:end]
        while len(found) > 1 and held[str(found[-1])] == 1:
            found.pop()
        return found

    def count(self, prefix: str) -> int:
        """Return how many names begin with `prefix.`."""
        return sum(self.held.get(prefix, {}).values())

    def has(self, prefix: str) -> bool:
        """Return whether any name begins with `prefix.`."""
        return prefix in self.held

    def agreed(self, *places: tuple[str, int]) -> int:
        """Return the size that most of these axes of tensors have, which all should have.

        Raises:
            TensorMismatch: none of the tensors is there, or as many say one thing as another; names them.
        """
        sizes = {name: self.shapes[name][axis] for name, axis in places if len(self.shapes.get(name, ())) > axis}
        if not sizes:
            self.take(places[0][0], places[0][1] + 1)
        (size, most), *others = Counter(sizes.values()).most_common(2)
        if others and others[0][1] == most:
            said = ", ".join(f"{self.called(name)} is {self.shapes[name]}" for name in sizes)
            raise TensorMismatch(f"tensors of the file contradict each other: {said}")
        return size

    def most(self, axis: int, *names: str) -> int | None:
        """Return the size along an axis that most of these tensors have, or None where none is there."""
        sizes = [self.shapes[name][axis] for name in names if len(self.shapes.get(name, ())) > axis]
        return Counter(sizes).most_common(1)[0][0] if sizes else None


def check_keys(
    found: list[Rule], tensors: Mapping[str, Any], source: str, tables: frozenset[str] = frozenset()
) -> None:
    """Compare a file's tensors with the rules: each used once, each there, each of the right shape.

    Args:
        found: the rules.
        tensors: of the file.
        source: the file's name, for messages.
        tables: names of tensors that are no weights.

    Raises:
        TensorMismatch: names what is missing, left over, of another shape or no floating-point numbers, as the file
            calls it.
    """
    wanted = {name: rule.shape for rule in found for name in rule.sources}
    held = {name: tensor for name, tensor in tensors.items() if name not in tables}
    key = called(tensors)
    kinds = (
        [f"missing {key(name)}" for name in wanted if name not in held],
        [f"left over {key(name)}" for name in held if name not in wanted],
        [
            f"{key(name)} is {tuple(held[name].shape)}, expected {shape}"
            for name, shape in wanted.items()
            if name in held and tuple(held[name].shape) != shape
        ],
        [
            f"{key(name)} holds {str(held[name].dtype).removeprefix('torch.')}, expected numbers with a fraction"
            for name in wanted
            if name in held and not held[name].dtype.is_floating_point
        ],
    )
    shown = [problem for problems in kinds for problem in problems[:MOST]]
    if shown:
        rest = sum(map(len, kinds)) - len(shown)
        more = f"; and {rest} more" if rest else ""
        raise TensorMismatch(f"{source} does not fit the network that its shapes describe: {'; '.join(shown)}{more}")


def to_ours(network: UNetTrunk, found: list[Rule], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors, float32, in our shapes; views of theirs where that is possible."""
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    return {rule.target: rule.ours(tensors).reshape(shapes[rule.target]).float() for rule in found}


def to_theirs(found: list[Rule], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return their tensors, made of ours; the inverse of `to_ours`."""
    result: dict[str, Tensor] = {}
    for rule in found:
        result.update(rule.theirs(tensors[rule.target]))
    return result
