"""From a file of a published codebase to a recipe and tensors of ours; one call, no question asked of the pickle."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from restore.checkpoints import native, pickles
from restore.checkpoints.family import Family, Found, TensorLike
from restore.checkpoints.guided_diffusion import GuidedDiffusion
from restore.checkpoints.layout import Rule, Shapes, check, gather, rules, scatter
from restore.checkpoints.palette import Palette
from restore.checkpoints.settings import Settings, read_config
from restore.checkpoints.sr3 import SR3
from restore.checkpoints.weather_diffusion import WeatherDiffusion
from restore.errors import CheckpointError, ConfigError

__all__ = ["FAMILIES", "Conversion", "Opened", "convert", "identify", "open_checkpoint", "to_original"]

# Palette before SR3: a file of Palette's second U-Net differs from SR3's only by its tables
FAMILIES: tuple[Family, ...] = (WeatherDiffusion(), Palette(), SR3(), GuidedDiffusion())

AVERAGES = ("ema_helper", "ema", "ema_state_dict", "params_ema", "model_ema")
STATES = ("state_dict", "model", "model_state_dict", "params", "network", "net")
PREFIXES = ("module.", "_orig_mod.", "ema_model.", "netG.")


@dataclass(frozen=True)
class Conversion:
    """What was recognised in a file.

    Attributes:
        source: the file that the weights come from.
        family: which codebase made it.
        recipe: everything about the model but its weights, as plain values.
        parameters: how many numbers the weights are.
        resolution: side of the pictures that it was trained on.
        weights: which of the file's weights were taken.
        given: settings that a source knew, with the source.
        assumed: settings that nothing told, with the published default that was taken.
        notes: remarks.
    """

    source: Path
    family: str
    recipe: dict[str, Any]
    parameters: int
    resolution: int
    weights: str
    given: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return what was recognised, one fact a line."""
        network, schedule = self.recipe["network"], self.recipe.get("sampling_schedule") or self.recipe["schedule"]
        lines = [
            f"family:      {self.family.replace('_', '-')} ({self.recipe['name']})",
            f"weights:     {self.weights}",
            f"parameters:  {self.parameters:,} ({self.parameters / 1e6:.2f}M)",
            f"resolution:  {self.resolution}",
            f"schedule:    {', '.join(f'{key} {value}' for key, value in schedule.items())}",
            f"inferred:    levels {list(network['channels'])}, {network['blocks']} blocks each, "
            f"attention at level {list(network['attention'])}, {network['outputs']} outputs",
            *(f"given:       {name} = {value}" for name, value in self.given.items()),
            *(f"assumed:     {name} = {value}" for name, value in self.assumed.items()),
            *(f"note:        {note}" for note in self.notes),
        ]
        return "\n".join(lines)


class Opened(NamedTuple):
    """A checkpoint of any family, or of ours.

    Attributes:
        recipe: the model's recipe as plain values.
        tensors: our network's state, memory-mapped where possible.
        conversion: what was recognised; None for a file of ours.
    """

    recipe: dict[str, Any]
    tensors: dict[str, Tensor]
    conversion: Conversion | None


def open_checkpoint(path: Path, config: Path | None = None, overrides: Sequence[str] = ()) -> Opened:
    """Return recipe and tensors of a checkpoint: ours, or one of the published codebases'.

    Args:
        path: the file.
        config: the original's config (YAML or JSON), for what shapes cannot tell; not for a file of ours.
        overrides: `key=value` in the words of that config; `weights=raw` and `family=NAME` besides.

    Raises:
        UnsafeCheckpoint: the pickle in the file wants to run code.
        TensorMismatch: tensors are missing, left over, or of another shape than the rest describes.
        CheckpointError: the file is damaged or of no known family.
        ConfigError: the config or an override is wrong.
    """
    if native.is_safetensors(path) and native.has_recipe(path):
        if config is not None or overrides:
            raise ConfigError(f"{path} carries its recipe; a config or overrides are for files of other codebases")
        return Opened(native.read_metadata(path)["recipe"], native.load(path), None)
    settings = Settings(overrides, read_config(config) if config else None, f"config file {config}")
    kind = settings.find(str, "weights")
    path, content = _content(path, None if kind is None else kind[0])
    settings.file = path.name
    state, weights = _unwrap(path, content, settings, None if kind is None else kind[0])
    found = identify(state, settings, path)
    settings.refuse_unused()
    network, mapping = _mapping(found)
    check(mapping, {name: state[name] for name in state if name not in found.tables}, str(path))
    tensors = gather(network, mapping, state)
    recipe = {**found.recipe, "network": found.network.model_dump(mode="json")}
    count = sum(value.numel() for value in tensors.values())
    report = Conversion(
        path, found.family, recipe, count, found.resolution, weights, settings.given, settings.assumed, found.notes
    )
    return Opened(recipe, tensors, report)


def convert(path: Path, out: Path, config: Path | None = None, overrides: Sequence[str] = ()) -> Conversion:
    """Write a published checkpoint as one of ours, and return what was recognised.

    Args:
        path: see `open_checkpoint`.
        out: the file to write, `*.safetensors`.
        config: see `open_checkpoint`.
        overrides: see `open_checkpoint`.

    Raises:
        ConfigError: `out` has another suffix.
        CheckpointError: see `open_checkpoint`; or the file is one of ours, or weights are NaN or infinite.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"the converted file must be called *.safetensors, not {out.name}")
    recipe, tensors, report = open_checkpoint(path, config, overrides)
    if report is None:
        raise CheckpointError(f"{path} is a file of this package already")
    bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(f"{path} holds NaN or infinity in {', '.join(bad[:5])}")
    origin = {"family": report.family, "file": report.source.name, "weights": report.weights}
    origin |= {"given": report.given, "assumed": report.assumed}
    native.save(out, tensors, recipe, {"converted_from": origin})
    return report


def identify(state: Mapping[str, TensorLike], settings: Settings, source: Path | str = "the file") -> Found:
    """Return what a state is, by the first family that knows its names.

    Raises:
        CheckpointError: no family does.
        ConfigError: `family=` names none.
    """
    shapes = Shapes(state)
    wanted = settings.find(str, "family")
    for family in FAMILIES:
        if family.name == wanted[0].replace("-", "_") if wanted else family.detect(shapes, settings):
            return family.read(state, settings)
    known = ", ".join(family.name for family in FAMILIES)
    if wanted:
        raise ConfigError(f"unknown family {wanted[0]!r}; the families are {known}")
    first = ", ".join(list(state)[:3]) or "none"
    raise CheckpointError(f"{source} is of no known family ({known}); its first tensors are {first}")


def to_original(found: Found, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's state under the names and in the shapes of its original."""
    return scatter(_mapping(found)[1], tensors)


def _mapping(found: Found) -> tuple[Any, list[Rule]]:
    with torch.device("meta"):
        network = found.network.build()
    return network, rules(network, found.layout)


def _content(path: Path, weights: str | None) -> tuple[Path, Any]:
    """Return the content of a file, or of the average that lies beside it."""
    average = path.with_name(f"{path.stem}_ema{path.suffix}")
    if weights != "raw" and path.stem.endswith("_Network") and average.is_file():
        path = average
    if native.is_safetensors(path):
        return path, native.load(path)
    return path, pickles.load(path)


def _unwrap(path: Path, content: Any, settings: Settings, weights: str | None) -> tuple[dict[str, TensorLike], str]:
    """Return the state inside a file's wrappers, and in words which weights it is.

    Raises:
        CheckpointError: there is none, or no average where the family has one.
        ConfigError: `weights` is neither ema nor raw.
    """
    if weights not in (None, "ema", "raw"):
        raise ConfigError(f"weights is ema or raw, not {weights!r}")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    if "config" in content:
        settings.add("config in the file", _plain(content["config"]))
    average = next((key for key in AVERAGES if _is_state(content.get(key))), None)
    raw = next((key for key in STATES if _is_state(content.get(key))), None)
    if "ema_helper" in content or average:
        if average and weights != "raw":
            return _stripped(content[average]), f"average ({average})"
        if weights != "raw" or raw is None:
            raise CheckpointError(
                f"{path} has no average of the weights (ema_helper), which its authors restore with; "
                "weights=raw takes those of the last step instead"
            )
    if raw:
        return _raw(
            path, _stripped(content[raw]), f"last step ({raw})", weights, average is None and "optimizer" in content
        )
    if _is_state(content):
        name = "average" if "ema" in path.stem.split("_") or path.stem.startswith("ema") else "the only ones"
        return _stripped(content), f"{name} ({path.name})"
    if {"optimizer", "optimizers", "state"} & set(content):
        raise CheckpointError(
            f"{path} holds the state of an optimizer, not weights; they lie in another file beside it"
        )
    raise CheckpointError(f"{path} holds no tensors by name; its entries are {', '.join(map(str, list(content)[:8]))}")


def _raw(
    path: Path, state: dict[str, TensorLike], name: str, weights: str | None, training: bool
) -> tuple[dict[str, TensorLike], str]:
    """Return the weights of the last step, unless their family restores with an average that is absent."""
    if weights != "raw" and training and "temb.dense.0.weight" in state:
        raise CheckpointError(
            f"{path} has no average of the weights (ema_helper), which its authors restore with; "
            "weights=raw takes those of the last step instead"
        )
    return state, name


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) and hasattr(item, "shape") for key, item in value.items())
    )


def _stripped(state: Mapping[str, TensorLike]) -> dict[str, TensorLike]:
    """Return the state without the prefixes that wrappers put before every name."""
    result = dict(state)
    while True:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in result)), None)
        if prefix is None:
            return result
        result = {name.removeprefix(prefix): value for name, value in result.items()}


def _plain(value: Any) -> Any:
    """Return nested namespaces as dictionaries, without what is not a plain value."""
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        kept = {str(key): _plain(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None
