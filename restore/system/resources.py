"""Where the files that ship with the package lie: configs, dataset cards and weights.

A wheel carries configs and cards in `restore/_share`; in a checkout they stand next to the package. The first is
looked up first, and an editable install has no `_share`, so it never reads a stale copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from restore.errors import ConfigError, did_you_mean

__all__ = ["card_path", "config_path", "list_cards", "list_configs", "list_weights", "weights_path"]

ConfigKind = Literal["models", "train"]

_PACKAGE = Path(__file__).resolve().parents[1]


def _share() -> Path:
    installed = _PACKAGE / "_share"
    return installed if installed.is_dir() else _PACKAGE.parent


def config_path(kind: ConfigKind, name: str) -> Path:
    """Return the file of the model or training config `name`.

    Raises:
        ConfigError: there is none of that name; the message lists the nearest and all names.
    """
    return _find(_share() / "configs" / kind, name, ".yaml", f"{kind} config")


def list_configs(kind: ConfigKind) -> list[str]:
    """Return the names of all configs of a kind, sorted."""
    return _names(_share() / "configs" / kind, ".yaml")


def card_path(name: str) -> Path:
    """Return the file of the dataset card `name`.

    Raises:
        ConfigError: there is none of that name; the message lists the nearest and all names.
    """
    return _find(_share() / "datasets", name, ".yaml", "dataset card")


def list_cards() -> list[str]:
    """Return the names of all dataset cards, sorted."""
    return _names(_share() / "datasets", ".yaml")


def weights_path(filename: str) -> Path:
    """Return the file of shipped weights `filename`, with or without its suffix `.safetensors`.

    Raises:
        ConfigError: there is none of that name; the message lists the nearest and all names.
    """
    return _find(_PACKAGE / "weights", filename.removesuffix(".safetensors"), ".safetensors", "file of weights")


def list_weights() -> list[str]:
    """Return the names of all weights that ship with the package, without their suffix, sorted."""
    return _names(_PACKAGE / "weights", ".safetensors")


def _names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*{suffix}") if path.is_file())


def _find(folder: Path, name: str, suffix: str, what: str) -> Path:
    names = _names(folder, suffix)
    # Only listed names are joined to the folder, so that no name can climb out of it.
    if name in names:
        return folder / f"{name}{suffix}"
    listing = f"the names are: {', '.join(names)}" if names else f"{folder} holds none"
    raise ConfigError(f"no {what} is named {name!r}; {did_you_mean(name, names)}{listing}")
