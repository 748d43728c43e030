"""The base of all typed documents, and what is wrong with one on one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from restore.errors import ConfigError, did_you_mean
from restore.schema.text import excess, shortened

__all__ = ["Spec", "describe", "parse"]

T = TypeVar("T")

MOST_PROBLEMS = 8
"""Of a document that are reported in one message."""

LONGEST = 600
"""Letters of one problem."""

MEANT = {
    "lr": ("rate", "optimizer.rate"),
    "learning_rate": ("rate", "optimizer.rate"),
    "steps": ("until", "stages"),
    "max_steps": ("until", "stages"),
    "iterations": ("until", "stages"),
    "epochs": ("until", "stages"),
    "batch": ("regions", "stages"),
    "batch_size": ("regions", "stages"),
    "crop_size": ("patch", "stages"),
    "wd": ("weight_decay", "optimizer.weight_decay"),
}
"""Other names of our keys: where the first is no key of the document, the second may be."""


class Spec(BaseModel):
    """A frozen document that refuses unknown keys, so that a typo is an error and not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def parse(kind: type[T] | Any, document: Any, source: str) -> T:
    """Return `document` validated as `kind` (a `Spec` or any type that pydantic knows).

    Raises:
        ConfigError: one line with the path of each bad value, what it was and what is accepted; or the document is
            nested too deeply, holds too many values, or a whole number of more than 64 bits.
    """
    if found := excess(document):
        raise ConfigError(f"{source} {found}")
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe(error, document)}") from None


def describe(error: ValidationError, document: Any) -> str:
    """Return the problems that a document has, on one line: `path: problem (got value)`."""
    problems = error.errors(include_url=False)
    shown = "; ".join(_described(problem, document) for problem in problems[:MOST_PROBLEMS])
    return shown + (f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else "")


def _described(problem: ErrorDetails, document: Any) -> str:
    """Return one problem: where, what, and the value where it is a plain one."""
    keys, node = _keys(problem["loc"], document, problem["type"] == "missing")
    where = ".".join(key if len(key) <= 60 and key.isprintable() else shortened(key, 60) for key in keys[:20])
    if problem["type"] == "extra_forbidden":
        return f"there is no key {where}" + _instead(keys[-1], node)
    path = f"{where}: " if keys else ""
    context = problem.get("ctx", {})
    if problem["type"] == "union_tag_invalid":
        kinds = str(context["expected_tags"]).replace("'", "").split(", ")
        tag, key = str(context["tag"]), str(context["discriminator"]).strip("'")
        return f"{path}unknown {key} {shortened(tag)}; {did_you_mean(tag, kinds)}choose {', '.join(kinds)}"
    given = problem.get("input")
    got = f" (got {shortened(given)})" if isinstance(given, str | int | float | bool | type(None)) else ""
    message = " ".join(problem["msg"].removeprefix("Value error, ").split())
    return f"{path}{message if len(message) <= LONGEST else f'{message[: LONGEST - 4]} ...'}{got}"


def _keys(location: Sequence[str | int], document: Any, missing: bool) -> tuple[list[str], Any]:
    """Return the keys on the way to a problem, and what holds the last one.

    A location also names the kinds that were chosen on the way (`data.clean.folders`), which nobody wrote.
    """
    keys: list[str] = []
    holder, node = None, document
    for part in location:
        inside = part in node if isinstance(node, Mapping) else isinstance(node, list | tuple) and isinstance(part, int)
        if inside:
            keys, holder, node = [*keys, str(part)], node, node[part]
    return [*keys, str(location[-1])] if missing else keys, holder


def _instead(key: str, holder: Any) -> str:
    """Return in which kind of document there is no such key, and what it may have been meant for.

    That is looked for in the documents of the chosen kind that have all the other keys beside it; one that has the key
    itself is not the one that refused it.
    """
    others = set(holder) - {key} if isinstance(holder, Mapping) else set()
    chosen = holder["kind"] if "kind" in others else None
    kinds = [kind.model_fields for kind in _all_kinds(Spec)]
    kinds = [fields for fields in kinds if others <= set(fields) and key not in fields]
    names = {name for fields in kinds if chosen is None or fields["kind"].default == chosen for name in fields}
    usual = [name for name in MEANT.get(key, ()) if name.partition(".")[0] in names]
    hint = f"did you mean {usual[0]}?" if usual else did_you_mean(key, names).strip()
    return (f" in kind {shortened(chosen).strip(chr(39))}" if chosen else "") + (f"; {hint}" if hint else "")


def _all_kinds(kind: type[Spec]) -> Iterator[type[Spec]]:
    for own in kind.__subclasses__():
        yield own
        yield from _all_kinds(own)
