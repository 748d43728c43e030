"""Writes docs/reference/config.md: every key of every document that a config, a recipe or a card can hold.

    python scripts/config_reference.py            # writes the page
    python scripts/config_reference.py --check    # writes nothing; fails if the page is not what it should be

Keys, types, defaults and bounds come from the pydantic models, descriptions from the `Attributes:` section of the class
(or of the class that it inherits the key from). A key without a description is an error.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import restore
from restore.schema import Spec

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "config.md"

INTRODUCTION = """\
# Configuration reference

<!-- Written by scripts/config_reference.py from the code. Do not edit: change the docstrings and run the script. -->

Every key of a training config, a recipe, a model card or a dataset card. A document is YAML; unknown keys are refused,
and an error names the key that was meant. On the command line, `key.sub=value` changes one key of a training config:
`optimizer.rate=2e-4`, `model.sampler.steps=4`, `'stages=[{until: 2000}]'`.

Where a key holds one of several kinds, `kind` says which; the other keys are then those of the section of that kind.
The shipped configs in `configs/train` are complete examples.
"""


class Part(NamedTuple):
    """A part of the page: its title, what a section is called there, and the packages whose documents it has."""

    title: str
    noun: str
    packages: tuple[str, ...]


PARTS = (
    Part("Training", "Document", ("restore.training",)),
    Part("Training data", "Source", ("restore.training.sources",)),
    Part("Objectives", "Objective", ("restore.training.objective",)),
    Part("Noise levels of training", "Levels", ("restore.training.objective.levels",)),
    Part("Weighting of noise levels", "Weighting", ("restore.training.objective.weighting",)),
    Part("Recipes", "Recipe", ("restore.models.recipe", "restore.models.auxiliary")),
    Part("Networks", "Network", ("restore.networks",)),
    Part("Codecs", "Codec", ("restore.networks.codec",)),
    Part("Noise schedules", "Schedule", ("restore.diffusion",)),
    Part("Samplers", "Sampler", ("restore.samplers",)),
    Part("Tiles", "Tiles", ("restore.denoisers",)),
    Part("Thresholds", "Threshold", ("restore.denoisers.threshold",)),
    Part("Tasks", "Task", ("restore.tasks",)),
    Part("Degradations", "Degradation", ("restore.degradations",)),
    Part("Masks", "Mask", ("restore.degradations.masks",)),
    Part("Model cards", "Document", ("restore.models",)),
    Part("Dataset cards", "Document", ("restore.data",)),
    Part("Other documents", "Document", ("restore",)),
)
"""In the order of the page; a document belongs to the part with the longest package that its module lies in."""

NOT_CONFIGURATION = ("restore.evaluation",)
"""Packages whose documents are results, not something to write."""

NAMED = {"Paper": "Paper of a data set", "Protocol": "Protocol of a data set", "Layout": "Layout of a data set"}

OUR_OWN = "restore."

PLURAL = {"integer": "integers", "number": "numbers", "text": "texts", "path": "paths"}

BOUNDS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "multiple_of": "multiple of {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "`{}`",
}


class Key(NamedTuple):
    """One row of a table, all in Markdown."""

    name: str
    type: str
    default: str
    bounds: str
    description: str


def documents() -> list[type[Spec]]:
    """Return every document that somebody may write, in the order of the page.

    Those are the classes that carry a discriminator (`kind`, `rule`), and all that they, or other documents, hold.
    Classes that only others inherit from are left out.
    """
    for module in pkgutil.walk_packages(restore.__path__, OUR_OWN):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    every = [one for one in _subclasses(Spec) if one.__module__.startswith(OUR_OWN) and "[" not in one.__name__]
    every = [one for one in every if not any(_lies_in(one, package) for package in NOT_CONFIGURATION)]
    held = {inner for one in every for field in one.model_fields.values() for inner in _models(field)}
    leaves = [one for one in every if one in held or not any(other is not one for other in _subclasses(one))]
    return sorted(dict.fromkeys(leaves), key=lambda one: (_part(one), one in held, _line(one)))


def keys(document: type[BaseModel], names: dict[type, str]) -> list[Key]:
    """Return the rows of a document's table; a discriminator is in the heading and has none.

    Args:
        document: the class.
        names: headings of the sections that types link to.

    Raises:
        LookupError: a key has no description.
    """
    told = descriptions(document)
    rows = []
    for name, field in document.model_fields.items():
        if _is_discriminator(name, field):
            continue
        if name not in told:
            raise LookupError(f"{document.__module__}.{document.__qualname__}.{name} has no line under `Attributes:`")
        rows.append(Key(f"`{name}`", _type(field.annotation, names), _default(field), _bounds(field), told[name]))
    return rows


def descriptions(document: type) -> dict[str, str]:
    """Return what the docstrings say of each attribute, those of the classes that it inherits from included.

    >>> descriptions(type("Hole", (), {"__doc__": "A hole.\\n\\n    Attributes:\\n        x, y: its place."}))
    {'x': 'its place.', 'y': 'its place.'}
    """
    found: dict[str, str] = {}
    for own in reversed(document.__mro__):
        section, names = False, []
        for line in (inspect.cleandoc(own.__dict__.get("__doc__") or "")).splitlines():
            if not line.startswith(" "):
                section = line == "Attributes:" or (section and not line)
                names = []
            elif section and (entry := re.fullmatch(r"    (\w+(?:, \w+)*)(?: \([^)]*\))?: (.*)", line)):
                names = entry[1].split(", ")
                found.update(dict.fromkeys(names, entry[2]))
            elif section:
                found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def summary(document: type) -> str:
    """Return the docstring up to its first section or doctest, as paragraphs."""
    text = inspect.cleandoc(document.__doc__ or "")
    return re.split(r"\n\n?(?=(?:[A-Z][a-z]+:\n|>>>))", text)[0].strip()


def page() -> str:
    """Return the whole page as Markdown.

    Raises:
        LookupError: a key has no description, or two sections have one heading.
    """
    found = documents()
    names = {one: heading(one) for one in found}
    if twice := sorted(name for name in names.values() if list(names.values()).count(name) > 1):
        raise LookupError(f"several sections are called {', '.join(dict.fromkeys(twice))}")
    text, part = [INTRODUCTION], -1
    for document in found:
        if (own := _part(document)) != part:
            part = own
            text.append(f"## {PARTS[part].title}\n")
        text.append(f"### {names[document]}\n")
        text.append(_prose(summary(document)) + "\n")
        if rows := keys(document, names):
            text.append("| key | type | default | bounds | description |\n| --- | --- | --- | --- | --- |")
            text.append("\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows) + "\n")
        else:
            text.append("It has no keys but `kind`.\n")
    return "\n".join(text)


def heading(document: type[BaseModel]) -> str:
    """Return the heading of a document's section: its kind with what the part calls it, or its class in words."""
    for name, field in document.model_fields.items():
        if _is_discriminator(name, field):
            noun = PARTS[_part(document)].noun if document.__module__ != "restore.data.card" else _card_noun(name)
            return f"{noun} `{get_args(_plain(field.annotation))[0]}`"
    if document.__name__ in NAMED and document.__module__ == "restore.data.card":
        return NAMED[document.__name__]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", document.__name__).removesuffix(" Spec")
    return words.capitalize()


def _card_noun(discriminator: str) -> str:
    return {"kind": "Split", "rule": "Pairing"}[discriminator]


def _subclasses(base: type) -> Iterator[type]:
    for own in base.__subclasses__():
        yield own
        yield from _subclasses(own)


def _part(document: type) -> int:
    """Return the place of the part with the longest package that a document's module lies in."""
    places = {
        len(name): place for place, part in enumerate(PARTS) for name in part.packages if _lies_in(document, name)
    }
    return places[max(places)]


def _lies_in(document: type, package: str) -> bool:
    return f"{document.__module__}.".startswith(f"{package}.")


def _line(document: type) -> tuple[str, int]:
    return document.__module__, inspect.getsourcelines(document)[1]


def _plain(annotation: Any) -> Any:
    """Return a type without `Annotated` and without the name of an alias."""
    while True:
        if hasattr(annotation, "__value__"):  # a `type` statement
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


def _is_discriminator(name: str, field: FieldInfo) -> bool:
    annotation = _plain(field.annotation)
    return name in {"kind", "rule"} and get_origin(annotation) is Literal and get_args(annotation) == (field.default,)


def _models(field: FieldInfo) -> Iterator[type[BaseModel]]:
    stack = [field.annotation]
    while stack:
        annotation = _plain(stack.pop())
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            yield annotation
        elif get_origin(annotation) is not Literal:
            stack += get_args(annotation)


def _type(annotation: Any, names: dict[type, str]) -> str:
    """Return a type in words, with links to the documents that it holds."""
    annotation = _plain(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        parts = [_type(one, names) for one in arguments if one is not type(None)]
        return ", ".join(parts) + (" or `null`" if type(None) in arguments else "")
    if origin in (tuple, list, Sequence):
        inner = [_type(one, names) for one in arguments if one is not Ellipsis]
        several = [PLURAL.get(one, one) for one in inner]
        if origin is tuple and Ellipsis not in arguments and len(set(inner)) == 1:
            return f"{len(inner)} {several[0]}"
        return f"list of {several[0]}" if len(inner) == 1 else f"list ({', '.join(inner)})"
    if origin is dict:
        return f"mapping of {_type(arguments[0], names)} to {_type(arguments[1], names)}"
    if annotation in names:
        return f"[{names[annotation]}](#{anchor(names[annotation])})"
    if annotation is type(None):
        return "`null`"
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    if inspect.isclass(annotation) and issubclass(annotation, PurePath):
        return "path"
    plain = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "anything"}
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def anchor(title: str) -> str:
    """Return the anchor of a heading, as MyST and GitHub make it.

    >>> anchor("Sampler `dpm_solver`")
    'sampler-dpm_solver'
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        changed = {name: one for name, one in value.model_dump(mode="json").items() if name in {"kind", "rule"}}
        changed |= value.model_dump(mode="json", exclude_defaults=True)
        return f"`{_yaml(changed)}`" if changed else "its defaults"
    if value == "":
        return "empty"
    return f"`{_yaml(_json(value))}`"


def _json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value) if isinstance(value, PurePath) else value


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip().removesuffix("...").strip()


def _bounds(field: FieldInfo) -> str:
    own = _limits(field.metadata)
    inner = {limit for one in get_args(_plain(field.annotation)) for limit in _limits(_metadata(one))}
    return ", ".join([*dict.fromkeys(own), *(f"each {limit}" for limit in sorted(inner))])


def _metadata(annotation: Any) -> list[Any]:
    """Return what an annotated type carries; the bounds of a pydantic `Field` are in that field's own metadata."""
    carried = getattr(annotation, "__metadata__", ())
    return [one for item in carried for one in (item.metadata if isinstance(item, FieldInfo) else [item])]


def _limits(metadata: Sequence[Any]) -> list[str]:
    limits = ((text, getattr(one, name, None)) for one in metadata for name, text in BOUNDS.items())
    return [text.format(value) for text, value in limits if value is not None]


def _prose(text: str) -> str:
    """Return text that Markdown takes as it is: what looks like HTML outside of code is escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*_\[\]])", r"\\\1", part) for part in parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description="Writes docs/reference/config.md from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    check = parser.parse_args(arguments).check
    text = page()
    if check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE} is out of date: run python scripts/config_reference.py", file=sys.stderr)
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
