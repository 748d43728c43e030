"""The base of all typed documents, and how they are read: YAML text, overrides, one-line errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from restore.errors import ConfigError, did_you_mean

__all__ = ["Spec", "apply_overrides", "parse", "read_yaml"]

T = TypeVar("T")

# several times faster where PyYAML was built with its parser in C, as its wheels are
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Spec(BaseModel):
    """A frozen document that refuses unknown keys, so that a typo is an error and not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file (safe loader: a python tag is an error).

    Raises:
        ConfigError: the file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"no such config file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read config file {path}: {error}") from None
    except yaml.YAMLError as error:
        first = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {first}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(document).__name__}")
    return document


def apply_overrides(document: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `document` with each `key.sub=value` applied; values are read as YAML.

    >>> apply_overrides({"data": {"batch": 8}}, ["data.batch=4", "name=x"])
    {'data': {'batch': 4}, 'name': 'x'}

    Raises:
        ConfigError: an override has no `=`, or walks through a value that is not a mapping.
    """
    result: dict[str, Any] = dict(document)
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign or not path:
            raise ConfigError(f"override {override!r} is not of the form key.sub=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"the value of override {override!r} is not valid YAML") from None
        *parents, leaf = path.split(".")
        node = result
        for key in parents:
            child = node.get(key)
            if child is not None and not isinstance(child, dict):
                raise ConfigError(f"override {override!r}: {key!r} is a {type(child).__name__}, it has no sub-keys")
            node[key] = dict(child or {})
            node = node[key]
        node[leaf] = value
    return result


def parse(kind: type[T] | Any, document: Any, source: str) -> T:
    """Return `document` validated as `kind` (a `Spec` or any type that pydantic knows).

    Raises:
        ConfigError: one line with the path of each bad value, what it was and what is accepted.
    """
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe(error, document)}") from None


def describe(error: ValidationError, document: Any) -> str:
    """Return the problems that a document has, on one line: `path: problem (got value)`."""
    lines = []
    for problem in error.errors(include_url=False):
        keys, node = _keys(problem["loc"], document, problem["type"] == "missing")
        path = ".".join(keys) or "document"
        if problem["type"] == "extra_forbidden":
            lines.append(f"there is no key {path}" + _instead(keys[-1], node))
            continue
        given = problem.get("input")
        got = f" (got {given!r})" if isinstance(given, str | int | float | bool | type(None)) else ""
        lines.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}{got}")
    return "; ".join(lines)


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
    hint = did_you_mean(key, names).strip()
    return (f" in kind {chosen}" if chosen else "") + (f"; {hint}" if hint else "")


def _all_kinds(kind: type[Spec]) -> Iterator[type[Spec]]:
    for own in kind.__subclasses__():
        yield own
        yield from _all_kinds(own)
