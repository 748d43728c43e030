"""The interface of a family of published checkpoints: detection of its files, and their architecture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor

from restore.diffusion.schedule import ScheduleSpec
from restore.errors import ConfigError, TensorMismatch
from restore.models.published.keymap import KeyMap, Shapes
from restore.models.published.settings import OriginalSettings
from restore.models.published.state import TensorLike, called
from restore.networks.encoder import EncoderSpec
from restore.networks.unet import UNetSpec
from restore.schema import describe, parse, read_yaml
from restore.system import resources

__all__ = [
    "Family",
    "Identified",
    "PublishedSpec",
    "agrees",
    "confirms",
    "divisor",
    "faster",
    "generating",
    "input_channels",
    "is_real",
    "level_embedding",
    "make",
    "published",
    "published_tiles",
    "schedule",
    "settle",
    "tables",
    "word",
]

PublishedSpec = UNetSpec | EncoderSpec
S = TypeVar("S", UNetSpec, EncoderSpec)
UNKNOWABLE = ("groups", "heads", "head_channels", "heads_up", "dropout", "size", "pool_head_channels")
IDENTITY = ("dataset", "task")  # the settings that distinguish published models of the same shapes
SCHEDULES = {"linear": "linear", "quad": "quadratic", "sigmoid": "sigmoid"}
WORDS = {**{ours: theirs for theirs, ours in SCHEDULES.items()}, "constant": "const", "jsd": "jsd", "cosine": "cosine"}


@dataclass(frozen=True)
class Identified:
    """The architecture and settings that a family found in a file.

    Attributes:
        family: its name.
        network: what the tensors are the weights of.
        keymap: what the file calls them, and how they lie in it.
        recipe: the model's recipe as plain values, but for its network.
        resolution: side of the images that it was trained on.
        tables: names in the file that are no weights but tables which follow from the schedule.
        notes: remarks for whoever converts.
    """

    family: str
    network: PublishedSpec
    keymap: KeyMap
    recipe: dict[str, Any]
    resolution: int
    tables: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


class Family(Protocol):
    """One published codebase."""

    name: str

    def detect(self, shapes: Shapes, settings: OriginalSettings) -> bool:
        """Return whether the tensors are of this family, by their names."""
        ...

    def read(self, tensors: Mapping[str, TensorLike], settings: OriginalSettings) -> Identified:
        """Return what the tensors are; see `Identified`."""
        ...


def published(family: str, network: PublishedSpec) -> dict[str, dict[str, Any]]:
    """Return the published models with these shapes: their original settings by their names.

    What does not follow from shapes (heads, groups, dropout) is left out of the comparison.
    """
    mine = network.model_dump(mode="json", exclude=set(UNKNOWABLE))
    return {
        name: original["settings"]
        for name, original, theirs in originals()
        if (original["family"], theirs) == (family, mine)
    }


@cache
def originals() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return name, original and network of every published model; of the network, what follows from shapes."""
    found = []
    for name in resources.list_configs("models"):
        card = read_yaml(resources.config_path("models", name))
        original = card.get("original")
        if not original:
            continue
        document = card["recipe"]["network"]
        kind = EncoderSpec if document.get("kind") == "encoder" else UNetSpec
        network = parse(kind, document, f"the card of model {name}")
        found.append((name, {"settings": {}, **original}, network.model_dump(mode="json", exclude=set(UNKNOWABLE))))
    return found


def settle(family: str, network: PublishedSpec, settings: OriginalSettings) -> str | None:
    """Add the settings of the published models with the same shapes as a source, and return the model's name.

    Several models can have the same shapes: what they have in common is added, and there is a name only where the
    task or the training set identifies one of them.
    """
    known = published(family, network)
    agree = {name: theirs for name, theirs in known.items() if not _contradicted(theirs, settings)}
    if not known:
        return None
    first, *others = (agree or known).values()
    common = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    settings.add(f"as published: {', '.join(agree or known)}", common)
    return next(iter(agree)) if len(agree) == 1 else None


def _contradicted(theirs: Mapping[str, Any], settings: OriginalSettings) -> bool:
    """Return whether a source says that a published model was made for something else."""
    stated = {key: settings.find(str, key) for key in IDENTITY if key in theirs}
    return any(found is not None and found[0] != theirs[key] for key, found in stated.items())


def divisor(width_of: set[int], default: int, what: str, settings: OriginalSettings, *names: str) -> int:
    """Return a setting that must divide some widths; the default is lowered until it does.

    Raises:
        ConfigError: a given value does not divide them.
    """
    usable = [n for n in range(1, default + 1) if all(width % n == 0 for width in width_of)]
    value = settings.get(int, usable[-1], *names)
    if value < 1 or any(width % value for width in width_of):
        raise ConfigError(f"{what} cannot be {value}: it must divide each of {sorted(width_of)}")
    return value


def schedule(
    settings: OriginalSettings, kind: str, steps: int, start: float, end: float, *paths: str
) -> dict[str, Any]:
    """Return a schedule as plain values, from the settings under any of `paths` (such as `beta_schedule.val`).

    Raises:
        ConfigError: the original's name of the schedule is unknown.
    """
    known: list[str] = []

    def ask(type_: Any, default: Any, *leaves: str) -> Any:
        found = settings.find(type_, *(f"{path}.{leaf}" for path in paths for leaf in leaves))
        known.extend([] if found is None else [found[1]])
        return default if found is None else found[0]

    kind = ask(str, kind, "schedule", "beta_schedule")
    document: dict[str, Any] = {"steps": ask(int, steps, "n_timestep", "num_diffusion_timesteps")}
    first, last = ask(float, start, "linear_start", "beta_start"), ask(float, end, "linear_end", "beta_end")
    if kind == "cosine":
        document |= {"kind": "cosine", "s": ask(float, 0.008, "cosine_s")}
    elif kind == "const":
        document |= {"kind": "constant", "beta": last}
    elif kind == "jsd":
        document |= {"kind": "jsd"}
    elif (percent := re.fullmatch(r"warmup(100|[1-9]?[0-9])", kind)) is not None:
        document |= {"kind": "warmup", "beta_start": first, "beta_end": last, "share": int(percent[1]) / 100}
    elif kind in SCHEDULES:
        document |= {"kind": SCHEDULES[kind], "beta_start": first, "beta_end": last}
    else:
        raise ConfigError(
            f"unknown schedule {kind!r}; the originals have {', '.join(SCHEDULES)}, const, jsd, cosine, warmup10 "
            "and warmup50"
        )
    said = ", ".join(f"{key} {value}" for key, value in sorted(document.items()))
    if known:
        settings.given[paths[0]] = f"{said} ({known[0]})"
    else:
        settings.assumed[paths[0]] = said
    return document


def word(document: Mapping[str, Any]) -> str:
    """Return the originals' name of a schedule's kind."""
    kind = document["kind"]
    return f"warmup{round(document['share'] * 100)}" if kind == "warmup" else WORDS[kind]


def tables(
    known: frozenset[str], tensors: Mapping[str, TensorLike], beside: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return which names in a file are tables that the original writes beside its weights: all of them, or none.

    Args:
        known: the names of the tables.
        tensors: of the file.
        beside: names that may be there without the others.

    Raises:
        TensorMismatch: only some are there, one is no list of numbers, or is longer or shorter than the others; names
            them as the file does.
    """
    found, key = known & set(tensors), called(tensors)
    if found - beside and found != known:
        absent = ", ".join(map(key, sorted(known - found)))
        raise TensorMismatch(f"missing {absent}, while other tables of the schedule are there")
    for name in sorted(found):
        if len(tensors[name].shape) != 1 or not tensors[name].shape[0]:
            raise TensorMismatch(f"{key(name)} is {tuple(tensors[name].shape)}, expected a list of numbers")
    lengths = {name: tensors[name].shape[0] for name in sorted(found - beside)}
    usual = Counter(lengths.values()).most_common(1)[0][0] if lengths else 0
    for name, length in lengths.items():
        if length != usual:
            raise TensorMismatch(
                f"{key(name)} is {(length,)}, expected {(usual,)}, the length of the other tables of the schedule"
            )
    return frozenset(found)


def published_tiles(size: int, spec: UNetSpec, batch: int) -> dict[str, Any]:
    """Return how images are cut for a network that knows one size, as plain values: a quarter overlaps, blended."""
    return {
        "size": size,
        "multiple": spec.multiple,
        "fixed": True,
        "overlap": size // 4,
        "window": "hann",
        "batch": batch,
    }


def faster(spec: UNetSpec, visited: int, steps: int) -> dict[str, Any]:
    """Return our sampler for a published network, as plain values: DDIM over a few of its levels.

    An unconditional network would generate an unrelated image. Sampling starts from the given image under
    noise instead, at a third of the levels, and so denoises it.
    """
    sampler = {"kind": "ddim", "steps": min(visited, steps), "eta": 0.0, "spacing": "trailing"}
    if spec.condition_channels:
        return sampler
    start = max(1, steps // 3)
    return {**sampler, "steps": min(visited, start), "start": start}


def generating(spec: UNetSpec) -> dict[str, str]:
    """Return the tasks of an unconditional network, as plain values.

    A class-conditional one does not inpaint: every image would have to be of the first class.
    """
    return {"generate": "unknown"} | ({} if spec.classes else {"inpaint": "unknown", "uncrop": "unknown"})


def level_embedding(shapes: Shapes, first: str, second: str, modulation: str) -> dict[str, int]:
    """Return the sizes of the two layers behind the features of the noise level, as fields of `LevelSpec`.

    Args:
        shapes: of the file.
        first: the first layer's name; it is four times as wide as the features in every original.
        second: the second layer's name.
        modulation: the name of a block's weight that reads the second layer.

    Raises:
        TensorMismatch: the tensors contradict each other.
    """
    hidden = shapes.agreed((f"{first}.weight", 0), (f"{first}.bias", 0), (f"{second}.weight", 1))
    rows, width = shapes.take(f"{first}.weight", 2)
    if rows == hidden and hidden != 4 * width:
        raise TensorMismatch(
            f"{shapes.called(first + '.weight')} is {(rows, width)}, expected {(hidden, hidden // 4)}: its second axis "
            "is a quarter of the first in every file of this family"
        )
    out = shapes.agreed((f"{second}.weight", 0), (f"{second}.bias", 0), (modulation, 1))
    return {"width": hidden // 4, "hidden": hidden, "out": out}


def input_channels(shapes: Shapes, name: str) -> int:
    """Return how many channels the first convolution reads: those of x_t, and of an image where it sees one.

    Raises:
        TensorMismatch: neither 3 nor 6.
    """
    shape = shapes.take(name, 4)
    if shape[1] not in (3, 6):
        raise TensorMismatch(
            f"{shapes.called(name)} is {shape}, expected a second axis of 3, or of 6 with the degraded image"
        )
    return shape[1]


def confirms(document: Mapping[str, Any], table: TensorLike) -> bool:
    """Return whether a schedule gives the table of alpha_bar that lies in a file; True where it cannot be read."""
    if not is_real(table):
        return True
    return agrees(parse(ScheduleSpec, document, "the schedule").build().alpha_bar[1:], table, rtol=1e-3, atol=1e-6)


def agrees(exact: Tensor, stored: Tensor, rtol: float, atol: float = 0.0) -> bool:
    """Return whether a table in a file is that of a schedule, within the precision of the file's dtype.

    Args:
        exact: the schedule's.
        stored: the file's.
        rtol: the relative difference that is allowed at least; that between two neighbours of the type is, too.
        atol: the same of absolute differences.
    """
    if exact.shape != stored.shape or not stored.is_floating_point():
        return False
    kind = torch.finfo(stored.dtype)
    rtol, atol = max(rtol, kind.eps), max(atol, kind.smallest_normal * kind.eps)
    return torch.allclose(exact.float(), stored.float(), rtol=rtol, atol=atol)


def is_real(value: TensorLike) -> bool:
    """Return whether a tensor's numbers can be read."""
    return isinstance(value, Tensor) and not value.is_meta


def make(kind: type[S], /, **values: Any) -> S:
    """Return a network's hyper-parameters.

    Raises:
        TensorMismatch: no such network can be built.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise TensorMismatch(f"the shapes describe a network that cannot be: {describe(error, values)}") from None
