"""From a file of a published codebase to a recipe and tensors of ours; one call, without running the pickle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from restore.errors import CheckpointError, ConfigError, TensorMismatch, one_line
from restore.models import native
from restore.models.published.family import Family, Identified
from restore.models.published.guided_diffusion import GuidedDiffusion
from restore.models.published.keymap import Rule, Shapes, check_keys, rules, to_ours, to_theirs
from restore.models.published.palette import Palette
from restore.models.published.settings import OriginalSettings, read_config
from restore.models.published.sr3 import SR3
from restore.models.published.state import NamedTensors, TensorLike, called
from restore.models.published.unwrap import average_beside, read_weights, unwrap
from restore.models.published.weather_diffusion import WeatherDiffusion
from restore.networks import build_empty

__all__ = [
    "ADAPTERS",
    "CheckpointWarning",
    "Conversion",
    "Opened",
    "convert",
    "identify",
    "open_checkpoint",
    "source_of",
    "to_original",
]

# Palette before SR3: a file of Palette's second U-Net differs from SR3's only by its tables
ADAPTERS: tuple[Family, ...] = (WeatherDiffusion(), Palette(), SR3(), GuidedDiffusion())

OF_TRAINING = {"dropout", "unet.dropout", "model.dropout"}  # settings that change nothing when images are restored


class CheckpointWarning(UserWarning):
    """A file of weights can be used, but not as its authors meant."""


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        source: the file that the weights come from.
        family: which codebase made it.
        recipe: everything about the model but its weights, as plain values.
        parameters: how many numbers the weights are.
        resolution: side of the images that it was trained on.
        weights: which of the file's weights were taken.
        given: settings that a source knew, with the source.
        assumed: settings that no source had, with the published default that was taken.
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
        return "\n".join(map(one_line, lines))

    @property
    def assumption(self) -> str:
        """What was assumed of the model, in one line; empty where nothing was that counts for restoring."""
        facts = [f"{name} = {value}" for name, value in self.assumed.items() if name not in OF_TRAINING]
        return one_line(f"assumed, since {self.source.name} does not say: {', '.join(facts)}") if facts else ""


class Opened(NamedTuple):
    """A checkpoint of any family, or of ours.

    Attributes:
        recipe: the model's recipe as plain values.
        components: the states of its networks by their names, memory-mapped where possible.
        conversion: what was recognised; None for a file of ours.
    """

    recipe: dict[str, Any]
    components: dict[str, dict[str, Tensor]]
    conversion: Conversion | None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The state of the main network.

        Raises:
            CheckpointError: the file holds other networks only.
        """
        if native.MAIN not in self.components:
            raise CheckpointError(f"the file holds no component {native.MAIN!r}, only {', '.join(self.components)}")
        return self.components[native.MAIN]

    @property
    def assumed(self) -> str:
        """What a file could not say of its model and was assumed, in one line; mostly empty."""
        return self.conversion.assumption if self.conversion else ""


def open_checkpoint(path: Path, config: Path | None = None, overrides: Sequence[str] = ()) -> Opened:
    """Return recipe and tensors of a checkpoint: ours, or one of the published codebases'.

    Args:
        path: the file.
        config: the original's config (YAML or JSON), for what does not follow from shapes; not for a file of ours.
        overrides: `key=value` in the words of that config; `weights=raw` and `family=NAME` besides.

    Raises:
        UnsafeCheckpoint: the pickle in the file wants to run code.
        TensorMismatch: tensors are missing, left over, of another shape than the rest describes, or not finite.
        CheckpointError: the file is damaged or of no known family.
        ConfigError: the config or an override is wrong.

    Warns:
        CheckpointWarning: the file lacks the average that its authors restore with.
    """
    if native.is_safetensors(path) and native.has_recipe(path):
        if config is not None or overrides:
            raise ConfigError(f"{path} carries its recipe; a config or overrides are for files of other codebases")
        return Opened(native.read_metadata(path)["recipe"], native.load_components(path), None)
    settings = OriginalSettings(overrides, read_config(config) if config else None, f"config file {config}")
    asked = settings.find(str, "weights")
    wanted = None if asked is None else asked[0]
    path, content = read_weights(path, wanted)
    state, weights, inside, warning = unwrap(path, content, wanted)
    _check_finite(state, path)
    if inside:
        settings.add("config in the file", inside)
    settings.file = path.name
    found = identify(state, settings, path)
    settings.refuse_unused()
    network, mapping = _mapping(found)
    check_keys(mapping, state, str(path), found.tables)
    tensors = to_ours(network, mapping, state)
    if warning:
        warnings.warn(warning, CheckpointWarning, stacklevel=2)
    return Opened(_recipe(found), {native.MAIN: tensors}, _report(path, found, weights, tensors, settings))


def _check_finite(state: NamedTensors, path: Path) -> None:
    """Raise for tensors that hold NaN or infinity, by the file's own keys."""
    bad = [called(state)(name) for name, value in state.items() if not native.finite(value)]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise TensorMismatch(f"{path} holds NaN or infinity in {', '.join(bad[:5])}{more}")


def source_of(path: Path) -> Path:
    """Return the file that `open_checkpoint` takes the weights of a file from where nothing else is said.

    Raises:
        CheckpointError: the file is damaged.
    """
    return path if native.is_safetensors(path) and native.has_recipe(path) else average_beside(path)


def _recipe(found: Identified) -> dict[str, Any]:
    return {**found.recipe, "network": found.network.model_dump(mode="json")}


def _report(
    path: Path, found: Identified, weights: str, tensors: Mapping[str, Tensor], settings: OriginalSettings
) -> Conversion:
    count = sum(value.numel() for value in tensors.values())
    stated = settings.given, settings.assumed
    return Conversion(path, found.family, _recipe(found), count, found.resolution, weights, *stated, found.notes)


def convert(path: Path, out: Path, config: Path | None = None, overrides: Sequence[str] = ()) -> Conversion:
    """Write a published checkpoint as one of ours, and return what was recognised.

    Args:
        path: see `open_checkpoint`.
        out: the file to write, `*.safetensors`.
        config: see `open_checkpoint`.
        overrides: see `open_checkpoint`.

    Raises:
        ConfigError: `out` has another suffix.
        CheckpointError: see `open_checkpoint`; or the file is one of ours.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"the converted file must be called *.safetensors, not {out.name}")
    recipe, components, report = open_checkpoint(path, config, overrides)
    if report is None:
        raise CheckpointError(f"{path} is a file of this package already")
    origin = {"family": report.family, "file": report.source.name, "weights": report.weights}
    origin |= {"given": report.given, "assumed": report.assumed}
    native.save(out, components, recipe, {"converted_from": origin})
    return report


def identify(
    state: Mapping[str, TensorLike], settings: OriginalSettings, source: Path | str = "the file"
) -> Identified:
    """Return what a state is, by the first family that knows its names.

    Raises:
        CheckpointError: no family does.
        ConfigError: `family=` names none.
    """
    shapes = Shapes(state)
    wanted = settings.find(str, "family")
    for family in ADAPTERS:
        if family.name == wanted[0].replace("-", "_") if wanted else family.detect(shapes, settings):
            return family.read(state, settings)
    known = ", ".join(family.name for family in ADAPTERS)
    if wanted:
        raise ConfigError(f"unknown family {wanted[0]!r}; the families are {known}")
    first = ", ".join(map(called(state), list(state)[:3])) or "none"
    raise CheckpointError(f"{source} is of no known family ({known}); its first tensors are {first}")


def to_original(found: Identified, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's state under the names and in the shapes of its original."""
    return to_theirs(_mapping(found)[1], tensors)


def _mapping(found: Identified) -> tuple[Any, list[Rule]]:
    network = build_empty(found.network.build)
    return network, rules(network, found.keymap)
