"""What the commands share: tables, progress bars, common options."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from restore.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from restore.restoration.restorer import Restorer
    from restore.restoration.settings import Settings

__all__ = ["MOST_SEED", "bar", "model_for", "open_model", "print_json", "table"]


MOST_SEED = 2**63 - 1
"""The largest number that PyTorch's and NumPy's generators both take."""

_NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]\d+)?( x \d+| %)?|\[.*\]|[+-]?inf|nan|-|")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return an aligned plain-text table; numbers and intervals are set flush right.

    >>> print(table(["name", "dB"], [["a", 1.5], ["long", 12.25]]))
    name     dB
    ----  -----
    a       1.5
    long  12.25
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    columns = list(zip(*cells, strict=True)) or [()] * len(header)
    right = [any(c.isdigit() for c in "".join(column)) and all(map(_NUMBER.fullmatch, column)) for column in columns]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.rjust(width) if flush else value.ljust(width)
            for value, width, flush in zip(values, widths, right, strict=True)
        ).rstrip()

    return "\n".join([line(list(header)), "  ".join("-" * width for width in widths), *map(line, cells)])


def print_json(document: Any) -> None:
    """Print a document as JSON to stdout."""
    typer.echo(json.dumps(document, indent=2, default=str))


def bar(total: int | None, description: str, unit: str) -> Any:
    """Return a tqdm progress bar on stderr, silent where that is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=description, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


def model_for(task: str | None, scale: int | None = None, default: str = "weather") -> str:
    """Return the name of the model that ships for a task: the default one, else the one that was made for it.

    Args:
        task: None and `auto` take the default model.
        scale: the requested factor of super-resolution, if any.
        default: the first choice, if it knows the task.

    Raises:
        ConfigError: no model that ships knows the task, or the factor.
    """
    if task is None:
        return default
    from restore.models.find import model_card
    from restore.models.recipe import Recipe
    from restore.restoration.detector import AUTO
    from restore.system import resources

    if task == AUTO:
        return default
    shipped = set(resources.list_weights())

    def recipe_of(name: str) -> Recipe | None:
        card = model_card(name)
        return card.recipe if Path(card.weights).stem in shipped and isinstance(card.recipe, Recipe) else None

    # reading the cards of all models takes ten times as long as that of the first choice
    names = resources.list_configs("models")
    if scale is None and default in names and (first := recipe_of(default)) is not None and task in first.tasks:
        return default
    recipes = {name: recipe for name in names if (recipe := recipe_of(name)) is not None}
    knowing = {name: recipe for name, recipe in recipes.items() if task in recipe.tasks}
    if not knowing:
        known = list(dict.fromkeys(task for recipe in recipes.values() for task in recipe.tasks))
        raise ConfigError(
            f"no model that ships knows task {task!r}; {did_you_mean(task, known)}"
            f"the tasks are {', '.join(known) or 'none'}. "
            "Pass --model with a file of weights (`restore train` makes one)"
        )
    scales = {name: getattr(recipe.task, "scale", None) for name, recipe in knowing.items()}
    fitting = [name for name in knowing if scale in (None, scales[name]) or scales[name] is None]
    if not fitting:
        factors = ", ".join(str(factor) for factor in sorted({s for s in scales.values() if s is not None}))
        raise ConfigError(f"no model that ships enlarges by {scale}; there are models for {factors}")
    return min(fitting, key=lambda name: (name != default, knowing[name].task.kind != task, name))


def open_model(
    model: str,
    device: str,
    dtype: str,
    *,
    tiles: Mapping[str, Any] | None = None,
    sampler: str | None = None,
    guidance: float = 1.0,
    self_ensemble: int = 1,
    preset: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Restorer, Settings]:
    """Return the model of the common options, and the settings that they make.

    Args:
        model: a name or a file.
        device: `auto`, `cpu` or `cuda`.
        dtype: `auto`, `fp32` or `bf16`.
        tiles: changes to how images are cut; None values change nothing.
        sampler: kind of another sampler than the model's own, and its settings as `key=value`, with commas.
        guidance: scale of classifier-free guidance.
        self_ensemble: over how many orientations of each image the restoration is averaged.
        preset: a named way to make images.
        config: config file of a published codebase.
        overrides: `key=value` in the words of that config.

    Raises:
        ConfigError: a value is unknown or out of range.
    """
    import torch

    from restore.denoisers.tiles import Tiles
    from restore.diffusion.schedule.spacing import section_count
    from restore.restoration.restorer import Restorer
    from restore.restoration.settings import Settings
    from restore.samplers import SamplerSpec
    from restore.schema import apply_overrides, parse

    types = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in types:
        raise ConfigError(f"unknown --dtype {dtype!r}; choose {', '.join(types)}")
    restorer = Restorer.from_pretrained(
        model, device=device, dtype=types[dtype], preset=preset, config=config, overrides=overrides
    )
    if restorer.assumed:
        typer.echo(f"{restorer.assumed} (--set KEY=VALUE or the authors' config says otherwise)", err=True)
    settings = Settings(guidance=guidance, self_ensemble=self_ensemble)
    if sampler is not None:
        kind, *changes = (part.strip() for part in sampler.split(","))
        own = restorer.recipe.sampler
        kept = own.model_dump() if own.kind == kind else {"steps": own.steps}
        if any(change.startswith("spacing=") and section_count(change[8:]) for change in changes):
            kept.pop("steps")  # sections say themselves how many
        chosen = parse(SamplerSpec, apply_overrides({**kept, "kind": kind}, changes), "--sampler")
        # an explicit "steps=" takes precedence over the model's own number of steps
        named = chosen.steps if any(change.startswith("steps=") for change in changes) else None
        settings = settings.changed(sampler=chosen, steps=named)
    changes = {key: value for key, value in (tiles or {}).items() if value is not None}
    if changes:
        document = {**restorer.recipe.tiles.model_dump(), **changes}
        if "overlap" in changes:
            if document["grid"] == "whole":
                raise ConfigError("the parts of the whole grid do not overlap: leave --overlap out, or --grid whole")
            document["stride"] = None  # else it would say alone how far tiles are apart
        elif "size" in changes:
            document["overlap"] = restorer.recipe.tiles.overlap_of(changes["size"])
        settings = settings.changed(tiles=parse(Tiles, document, "--patch, --overlap, --grid"))
    return restorer, settings
