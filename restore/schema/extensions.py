"""What other installed packages add, found by their entry points: nothing of theirs is imported before it is named.

A package declares, for instance, in its `pyproject.toml`::

    [project.entry-points."restore.networks"]
    plain = "my_package.networks:PlainSpec"

and `network: {kind: plain}` works wherever a network is named. The groups are `restore.networks`,
`restore.degradations`, `restore.samplers`, `restore.tasks` and `restore.metrics`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from restore.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Extended", "Extension", "ExtensionWarning", "extensions", "refuse_taken", "unknown", "warn_once"]

T = TypeVar("T")

PREFIX = "restore."


class ExtensionWarning(UserWarning):
    """A package adds something that cannot be used; everything else works."""


@dataclass(frozen=True)
class Extension:
    """Something that an installed package adds under a name.

    Attributes:
        name: of the kind, as configs and commands say it.
        package: which adds it, with its version.
        point: where it is.
    """

    name: str
    package: str
    point: EntryPoint

    def __str__(self) -> str:
        return f"{self.name!r} of package {self.package} ({self.point.value})"

    def load(self) -> Any:
        """Return the object that the entry point names.

        Raises:
            ConfigError: it cannot be imported; the message names the package.
        """
        try:
            return self.point.load()
        except (Exception, SystemExit) as error:  # somebody else's module raises whatever it likes
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{self} cannot be loaded: {reason[:300]}") from None


def extensions(group: str, taken: Iterable[str] = ()) -> dict[str, Extension]:
    """Return what installed packages add to a group, by name; nothing is imported.

    Args:
        group: `restore.networks`, say.
        taken: names that this package uses itself; what others call so is left out here, see `refuse_taken`.
    """
    own = set(taken)
    return {name: found[0] for name, found in _installed().get(group, {}).items() if name not in own}


def refuse_taken(group: str, name: str, own: bool) -> None:
    """Raise where several packages use one name, so that nobody gets another one's kind unawares.

    Args:
        group: the group.
        name: that is looked up.
        own: whether this package uses the name, too.

    Raises:
        ConfigError: names all that use it.
    """
    found = _installed().get(group, {}).get(name, ())
    if len(found) + own > 1:
        claims = ["package restore itself"] * own + [f"package {one.package} ({one.point.value})" for one in found]
        raise ConfigError(
            f"{name!r} is added to {group} by {' and by '.join(claims)}: rename it in a package of yours, or uninstall "
            "one"
        )


def unknown(what: str, name: object, group: str, own: Iterable[str]) -> str:
    """Return the message for a name that nobody knows: the nearest, and all, with the packages that add them."""
    own = list(own)
    added = extensions(group, own)
    named = [*own, *(f"{one.name} (of {one.package})" for one in added.values())]
    hint = did_you_mean(name, [*own, *added]) if isinstance(name, str) else ""
    shown = name if isinstance(name, str) and len(name) <= 100 else f"{str(name)[:97]}..."
    return f"unknown {what} {shown!r}; {hint}choose {', '.join(named)}"


class Extended(MutableMapping[str, T], Generic[T]):
    """A mapping of this package's own objects of a kind, and of those that installed packages add to a group.

    To look up an own name imports nothing of others; to list all of them does, and leaves out, with a warning, what
    does not work and what several packages claim.

    Args:
        group: the entry-point group.
        own: this package's objects by name; what is set or deleted later is among them, too.
        kind: what each must be.
    """

    def __init__(self, group: str, own: Mapping[str, T], kind: type[T]) -> None:
        self.group, self.own, self.kind = group, dict(own), kind

    def __getitem__(self, name: str) -> T:
        """Return the object of a name.

        Raises:
            KeyError: nobody knows the name.
            ConfigError: several packages use it, or the one that does is broken.
        """
        refuse_taken(self.group, name, name in self.own)
        if name in self.own:
            return self.own[name]
        return self._loaded(extensions(self.group, self.own)[name])

    def __setitem__(self, name: str, value: T) -> None:
        self.own[name] = value

    def __delitem__(self, name: str) -> None:
        del self.own[name]

    def __contains__(self, name: object) -> bool:
        """Return whether somebody knows the name; whether it can be used shows when it is looked up."""
        return name in self.own or name in extensions(self.group)

    def __iter__(self) -> Iterator[str]:
        for name in [*self.own, *extensions(self.group, self.own)]:
            try:
                self[name]
            except ConfigError as error:
                warn_once(str(error))
            else:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _loaded(self, extension: Extension) -> T:
        value = extension.load()
        if not isinstance(value, self.kind):
            raise ConfigError(f"{extension} must be a {self.kind.__name__}, not a {type(value).__name__}")
        if (name := getattr(value, "name", extension.name)) != extension.name:
            raise ConfigError(f"{extension} calls itself {name!r}: both names must be one")
        return value


@cache
def warn_once(message: str) -> None:
    """Warn of a broken package the first time."""
    warnings.warn(message, ExtensionWarning, stacklevel=3)


@cache
def _installed() -> dict[str, dict[str, tuple[Extension, ...]]]:
    """Return all entry points of our groups: group to name to those who claim it, the most of a distribution once."""
    from importlib.metadata import distributions

    found: dict[str, dict[str, tuple[Extension, ...]]] = {}
    seen: set[str] = set()
    for distribution in distributions():
        # cheaper than to parse all of them: hardly any speaks of us
        if f"[{PREFIX}" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        name = distribution.metadata["Name"] or "unknown"
        if name in seen:  # an older one behind it on the path
            continue
        seen.add(name)
        for point in distribution.entry_points:
            if point.group.startswith(PREFIX):
                extension = Extension(point.name, f"{name} {distribution.version}", point)
                group = found.setdefault(point.group, {})
                group[point.name] = (*group.get(point.name, ()), extension)
    return found
