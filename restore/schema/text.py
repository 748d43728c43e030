"""The one reader of text that users and files bring: YAML, JSON, JSON lines and lists, each within bounds.

A file must be a regular one (a device fills the memory, a named pipe waits for ever) and not too large. A document must
not be nested too deeply nor hold too many values; what an alias of YAML repeats counts each time. Whatever a parser
raises becomes one line that names the source.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError, SafeConstructor

from restore.errors import ConfigError, RestoreError

__all__ = [
    "apply_overrides",
    "excess",
    "json_value",
    "read_json_lines",
    "read_text",
    "read_yaml",
    "shortened",
    "whole_number",
    "yaml_value",
]

MOST_BYTES = 4 * 2**20
"""Of a config, a card or a recipe."""

MOST_LINES_BYTES = 256 * 2**20
"""Of a log, a journal or a list of files, which grow with what they record."""

MOST_DEPTH = 64
"""Of lists and mappings within each other."""

MOST_VALUES = 120_000
"""Of any document; a learned schedule of 100,000 levels is the largest."""

MOST_NODES = 40_000
"""Of a document in YAML, which people write; so many take a second to read."""

MOST_DIGITS = 40
"""Of a whole number in text; no setting has so many, and Python itself refuses to show one of 4,301."""

MOST_WHOLE = 2**64
"""No whole number in a document is as large as this, whatever its sign: it fits into no tensor and no generator."""


def read_text(
    path: Path,
    what: str = "config file",
    *,
    most: int = MOST_BYTES,
    error: type[RestoreError] = ConfigError,
) -> str:
    """Return the text of a regular file in UTF-8, without its byte-order mark.

    Args:
        path: the file; a link is followed.
        what: how it is called in messages.
        most: bytes that it may hold.
        error: what is raised.

    Raises:
        RestoreError: of the kind `error`: the file is missing, not a regular one, too large, or not UTF-8.
    """
    try:
        # opened without waiting, and checked again once it is open: a pipe may have taken its place
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(f"cannot read {what} {path}: it is not a regular file")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise error(f"cannot read {what} {path}: it is not a regular file")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise error(f"no such {what}: {path}") from None
    except (OSError, ValueError) as problem:  # a path with a zero byte is a ValueError
        raise error(f"cannot read {what} {path}: {getattr(problem, 'strerror', None) or problem}") from None
    if len(content) > most:
        raise error(f"{what} {path} is larger than {most // 2**20} MB, the most that is read")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"cannot read {what} {path}: {problem}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file (a tag that names a Python object is an error).

    Raises:
        ConfigError: the file cannot be read, is not YAML, exceeds a bound, or does not hold a mapping.
    """
    document = yaml_value(read_text(path), str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(document).__name__}")
    return document


def read_json_lines(path: Path, what: str, *, error: type[RestoreError] = ConfigError) -> list[Any]:
    """Return the value of each line of a file of JSON lines; a last line that was cut off is left aside.

    Raises:
        RestoreError: of the kind `error`: the file cannot be read, or a line is not JSON.
    """
    lines = read_text(path, what, most=MOST_LINES_BYTES, error=error).splitlines(keepends=True)
    return [json_value(line, f"a line of {path}", error=error) for line in lines if line.endswith("\n")]


def json_value(text: str | bytes, source: str, *, error: type[RestoreError] = ConfigError) -> Any:
    """Return the value of a text in JSON.

    Raises:
        RestoreError: of the kind `error`: it is not JSON, or exceeds a bound.
    """
    try:
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as problem:
        raise error(f"{source} is not valid JSON: {_reason(problem)}") from None
    if found := excess(value):
        raise error(f"{source} {found}")
    return value


def yaml_value(text: str, source: str) -> Any:
    """Return the value of a text in YAML.

    >>> yaml_value("{a: 1, b: [x, y]}", "here")
    {'a': 1, 'b': ['x', 'y']}

    Raises:
        ConfigError: it is not YAML, or exceeds a bound.
    """
    try:
        return _Loader(text).get_single_data()
    except Exception as problem:
        # beside YAMLError a constructor raises whatever it stumbles over: ValueError of `2026-02-30`, KeyError of
        # `!!bool x`, AttributeError of `!!timestamp x`
        raise ConfigError(f"{source} is not valid YAML: {_reason(problem)}") from None


def apply_overrides(document: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `document` with each `key.sub=value` applied.

    Values are read as YAML; in those that begin with `~/` the home folder is put in, as a shell does with words of
    their own.

    >>> apply_overrides({"data": {"batch": 8}}, ["data.batch=4", "name=x"])
    {'data': {'batch': 4}, 'name': 'x'}

    Raises:
        ConfigError: an override has no `=`, or walks through a value that is not a mapping.
    """
    result: dict[str, Any] = dict(document)
    for override in overrides:
        path, sign, text = override.partition("=")
        shown = shortened(override)
        *parents, leaf = path.split(".")
        if not sign or not path:
            raise ConfigError(f"override {shown} is not of the form key.sub=value")
        if len(parents) >= MOST_DEPTH:
            raise ConfigError(f"override {shown} names a key below {len(parents)} others; the most is {MOST_DEPTH}")
        value = _at_home(yaml_value(text, f"the value of override {shown}"))
        node = result
        for key in parents:
            child = node.get(key)
            if child is not None and not isinstance(child, dict):
                raise ConfigError(f"override {shown}: {key!r} is a {type(child).__name__}, it has no sub-keys")
            node[key] = dict(child or {})
            node = node[key]
        node[leaf] = value
    return result


def excess(document: Any) -> str | None:
    """Return what is too much in a document of mappings, lists and numbers, or None.

    It says so before anything recursive walks through the document. One that holds itself is too deep.
    """
    stack, count = [(document, 0)], 0
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth >= MOST_DEPTH and isinstance(node, Mapping | list | tuple):
            return f"is nested more than {MOST_DEPTH} levels deep"
        if count > MOST_VALUES:
            return f"holds more than {MOST_VALUES} values"
        if isinstance(node, int) and abs(node) >= MOST_WHOLE:
            return f"holds a whole number of {node.bit_length()} bits; the most is 64"
        if isinstance(node, Mapping):
            stack += [(child, depth + 1) for child in node.values()]
        elif isinstance(node, list | tuple):
            stack += [(child, depth + 1) for child in node]
    return None


def shortened(value: object, most: int = 100) -> str:
    """Return a value as Python shows it, cut in the middle where that is long.

    >>> shortened("x" * 1000, most=20)
    "'xxxxxxxx...xxxxxxx'"
    """
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most // 2 - 1]}...{shown[-(most // 2 - 2) :]}"


def whole_number(text: str, most: int) -> int | None:
    """Return the whole number from 0 to `most` that a text is, or None; spaces around it are left out.

    >>> whole_number(" 12 ", 100), whole_number("1e3", 100), whole_number("9" * 5000, 2**63)
    (12, None, None)
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS):
        return None
    return value if (value := int(digits)) <= most else None


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits; the most is {MOST_DIGITS}")
    return int(digits)


def _reason(problem: BaseException) -> str:
    if isinstance(problem, RecursionError):
        return f"it is nested more than {MOST_DEPTH} levels deep"
    line = " ".join(str(problem).split())
    if not isinstance(problem, yaml.YAMLError | json.JSONDecodeError):
        line = f"a value cannot be what its form or tag says ({type(problem).__name__}: {line})"
    return line if len(line) <= 300 else f"{line[:300]} ..."


def _at_home(value: Any) -> Any:
    if isinstance(value, str):
        return os.path.expanduser(value) if value.startswith("~") and "/" in value else value
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    return {key: _at_home(item) for key, item in value.items()} if isinstance(value, dict) else value


class _Bounded(Composer):
    """Composes nodes within the bounds on depth and number; what an alias repeats is counted again."""

    check_event: Callable[..., bool]
    _depth: int
    _taken: int
    _inside: dict[int, int]

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._inside:
                raise ComposerError(None, None, "an alias stands inside of what it names")
            self._take(self._inside[id(node)])
            return node
        nested = not self.check_event(yaml.ScalarEvent)
        self._depth += nested
        if self._depth > MOST_DEPTH:
            raise ComposerError(None, None, f"it is nested more than {MOST_DEPTH} levels deep")
        before = self._taken
        self._take(1)
        node = super().compose_node(parent, index)
        self._inside[id(node)] = self._taken - before
        self._depth -= nested
        return node

    def _take(self, count: int) -> None:
        self._taken += count
        if self._taken > MOST_NODES:
            raise ComposerError(None, None, f"it holds more than {MOST_NODES} values, those that aliases repeat too")


# libyaml reads ten times faster; nodes are composed by the class above, where the bounds are
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Bounded, _Safe):
    def __init__(self, text: str) -> None:
        _Safe.__init__(self, text)
        Composer.__init__(self)
        self._depth, self._taken, self._inside = 0, 0, {}


def _construct_int(loader: Any, node: Any) -> int:
    if len(node.value) > MOST_DIGITS:
        raise ConstructorError(None, None, f"a whole number of {len(node.value)} digits; the most is {MOST_DIGITS}")
    return SafeConstructor.construct_yaml_int(loader, node)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
