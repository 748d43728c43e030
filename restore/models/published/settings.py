"""Settings that do not follow from the shapes of tensors: looked up by name, in the first source that has them.

The sources, in order: `key=value` of the user, the config file of the original, the config inside the checkpoint, the
published model with the same shapes, and the family's published default. Each value is recorded with its source, so
that a conversion can say what was given and what was assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from restore.errors import CheckpointError, ConfigError
from restore.schema import apply_overrides, parse, read_text, read_yaml, yaml_value

__all__ = ["OriginalSettings", "flatten", "read_config"]

Value = TypeVar("Value")
# each ends at the end of the text, too: what begins and does not end would be looked for from every letter again
COMMENT = re.compile(r'"(?:\\(?:.|\Z)|[^"\\])*(?:"|\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)


def read_config(path: Path) -> dict[str, Any]:
    """Return the mapping in a config file of an original: YAML, or JSON with comments and trailing commas.

    Raises:
        ConfigError: the file is missing or is neither.
    """
    if path.suffix.lower() not in {".json", ".jsonc"}:
        return read_yaml(path)
    text = COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else " ", read_text(path))
    # JSON is YAML but for tabs, and YAML forgives the trailing commas that these files have
    document = yaml_value(text.replace("\t", " "), str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(document).__name__}")
    return document


def flatten(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(dotted path, value)` of every leaf; a list of scalars is a leaf.

    >>> list(flatten({"unet": {"ch": 4, "mult": [1, 2]}, "nets": [{"name": "a"}]}))
    [('unet.ch', 4), ('unet.mult', [1, 2]), ('nets.0.name', 'a')]
    """
    if isinstance(node, Mapping):
        children = list(node.items())
    elif isinstance(node, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in node):
        children = list(enumerate(node))
    else:
        yield path, node
        return
    for key, value in children:
        yield from flatten(value, f"{path}.{key}" if path else str(key))


def ends_with(path: str, name: str) -> bool:
    """Return whether a dotted path ends with a name."""
    return path == name or path.endswith("." + name)


class OriginalSettings:
    """Answers to named questions.

    Args:
        overrides: `key=value`, the key as in the original's config; its last parts suffice.
        config: the original's config, or None.
        source: what to call that config in messages.

    Attributes:
        given: settings that were found, and their sources.
        assumed: defaults of the settings that no source had, by name.
        file: name of the file that is converted.
        configured: whether there is a config; what it leaves out has the default of the original's code.
    """

    def __init__(
        self, overrides: Sequence[str] = (), config: Mapping[str, Any] | None = None, source: str = "config"
    ) -> None:
        self.sources: list[tuple[str, dict[str, Any]]] = []
        self.given: dict[str, str] = {}
        self.assumed: dict[str, str] = {}
        self.asked: dict[str, None] = {}
        self.used: set[str] = set()
        self.file = ""
        self.configured = config is not None
        self.overrides = dict(flatten(apply_overrides({}, overrides)))
        self.sources.append(("key=value", self.overrides))
        if config is not None:
            self.add(source, config)

    def add(self, source: str, config: Mapping[str, Any]) -> None:
        """Add a source, of lower priority than the existing ones."""
        self.sources.append((source, dict(flatten(config))))

    def first(self, *names: str) -> str | None:
        """Return the first source that knows any of the names, or None."""
        self.asked.update(dict.fromkeys(names))
        for source, values in self.sources:
            if any(ends_with(path, name) or ends_with(name, path) for path in values for name in names):
                return source
        return None

    def find(self, kind: Any, *names: str, source: str | None = None) -> tuple[Any, str] | None:
        """Return the value and source of the first of `names` that a source knows, or None.

        Args:
            kind: what the value must be, for `restore.schema.parse`.
            names: dotted paths, or their last parts.
            source: search this one only.

        Raises:
            ConfigError: the value is not of that kind.
        """
        self.asked.update(dict.fromkeys(names))
        for origin, values in self.sources:
            for name in names if source in (None, origin) else ():
                for path, value in values.items():
                    mine = values is self.overrides
                    # a user may leave out the first parts of a name, a config has all of them
                    if ends_with(path, name) or (mine and ends_with(name, path)):
                        if mine:
                            self.used.add(path)
                        return parse(kind, value, f"{path} ({origin})"), origin
        return None

    def get(self, kind: Any, default: Value, *names: str, source: str | None = None) -> Value:
        """Return the setting called one of `names`, or the default; either is recorded under the first name.

        Raises:
            ConfigError: the value is not of that kind.
        """
        found = self.find(kind, *names, source=source)
        if found is None:
            self.assumed[names[0]] = str(default)
            return default
        self.given[names[0]] = f"{found[0]} ({found[1]})"
        return found[0]

    def check(self, kind: Any, actual: Any, *names: str) -> None:
        """Compare a setting, where a source knows it, with what the shapes say.

        Raises:
            CheckpointError: they differ: the config belongs to another file.
        """
        found = self.find(kind, *names)
        if found is not None and found[0] != actual:
            raise CheckpointError(
                f"{names[0]} is {found[0]} by the {found[1]}, but the tensors in the file have {actual}; "
                "is this the config of another model?"
            )

    def refuse_unused(self) -> None:
        """Raise for overrides that nothing has read.

        Raises:
            ConfigError: names them, and every name that was read.
        """
        unused = [path for path in self.overrides if path not in self.used]
        if unused:
            raise ConfigError(f"unknown setting {', '.join(unused)}; this family knows {', '.join(sorted(self.asked))}")
