"""What lies around the tensors in a file: dictionaries, averages beside last steps, prefixes of names, a config."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from restore.errors import CheckpointError, ConfigError
from restore.models import native
from restore.models.fitting import shown
from restore.models.published import pickles
from restore.models.published.state import NamedTensors, canonical, is_average

__all__ = ["Unwrapped", "average_beside", "read_weights", "unwrap"]

STATES = ("state_dict", "model", "model_state_dict", "params", "network", "net", "generator")
# entries of training runs that hold tensors by name and no weights
BESIDE = frozenset({"callbacks", "loops", "lr_schedulers", "hyper_parameters", "hparams"})
NESTED = 3  # of dictionaries in dictionaries
MOST_VALUES = 20_000  # of a config, its parts counted as often as they are referred to


class Unwrapped(NamedTuple):
    """The tensors of a file.

    Attributes:
        state: by the names that their family gives them.
        weights: in words, which of the file's they are.
        config: the original's, where it lies in the file.
        warning: what should be said of the choice; mostly empty.
    """

    state: NamedTensors
    weights: str
    config: dict[str, Any] | None
    warning: str = ""


def average_beside(path: Path) -> Path:
    """Return the file of the average that lies beside one of Palette's, or the file itself where there is none."""
    average = path.with_name(f"{path.stem}_ema{path.suffix}")
    return average if path.stem.endswith("_Network") and average.is_file() else path


def read_weights(path: Path, weights: str | None = None) -> tuple[Path, Any]:
    """Return the content of a file, and the file: Palette's average lies in another one beside it.

    Raises:
        CheckpointError: see `pickles.load_pickle`.
    """
    path = path if weights == "raw" else average_beside(path)
    return path, native.read_tensors(path) if native.is_safetensors(path) else pickles.load_pickle(path)


def unwrap(path: Path, content: Any, weights: str | None = None) -> Unwrapped:
    """Return the tensors inside a file's wrappers: the average where there is one.

    Args:
        path: of the file, for messages and for what its name says.
        content: of the file.
        weights: `raw` takes those of the last step, `ema` insists on the average.

    Raises:
        CheckpointError: there are no tensors.
        ConfigError: `weights` is neither, `raw` of a file that holds an average alone, or `ema` of one that has none.
    """
    if weights not in (None, "ema", "raw"):
        raise ConfigError(f"weights is ema or raw, not {weights!r}")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    where, tensors = _chosen(path, content, weights)
    state, prefix = canonical(tensors, average=weights != "raw")
    named = "ema" in path.name.split(".")[0].split("_")
    if prefix or any(map(is_average, where)):
        words, average = f"average ({'.'.join(where) or prefix})", True
    elif where:
        words, average = f"last step ({'.'.join(where)})", False
    else:
        words, average = f"{'average' if named else 'the only ones'} ({path.name})", named
    if weights == "raw" and average:
        beside = f"; the last step's lie in {path.name.replace('_ema', '', 1)}" if "_Network_ema" in path.name else ""
        raise ConfigError(f"{path} holds the average of the weights alone, so weights=raw cannot be had of it{beside}")
    if weights == "ema" and not average:
        raise ConfigError(f"{path} has no average of the weights; weights=raw takes those of the last step")
    config = plain_config(content["config"]) if where and "config" in content else None
    return Unwrapped(state, words, config, "" if average or weights == "raw" else _lost(path, content, state))


def _chosen(path: Path, content: dict[Any, Any], weights: str | None) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return where in a file the wanted tensors lie, and the tensors."""
    found = dict(_states(content))
    if not found:
        if {"optimizer", "optimizers", "state"} & set(content):
            raise CheckpointError(
                f"{path} holds the state of an optimizer, not weights; they lie in another file beside it"
            )
        entries = ", ".join(shown(str(key)) for key in list(content)[:8]) or "none"
        raise CheckpointError(f"{path} holds no tensors by name; its entries are {entries}")
    averages = {where: state for where, state in found.items() if any(map(is_average, where))}
    others = {where: state for where, state in found.items() if where not in averages}
    wanted = (others or averages) if weights == "raw" else (averages or others)

    def rank(where: tuple[str, ...]) -> tuple[int, int]:
        known = [STATES.index(part) for part in where if part in STATES]
        return len(where), min(known, default=len(STATES))

    where = min(wanted, key=rank)
    return where, wanted[where]


def _states(content: dict[Any, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield each dictionary of tensors by name, and the keys on the way to it; shallow ones first."""
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen: set[int] = set()
    for _ in range(NESTED + 1):
        deeper = []
        for where, node in level:
            if id(node) in seen:
                continue
            seen.add(id(node))
            if is_state(node):
                yield where, node
                continue
            for key, value in node.items():
                if isinstance(key, str) and isinstance(value, dict) and not _aside(key):
                    deeper.append(((*where, key), value))
        level = deeper


def _aside(key: str) -> bool:
    return key in BESIDE or "optim" in key.lower()


def _lost(path: Path, content: dict[Any, Any], state: NamedTensors) -> str:
    """Return what to say of the file of a training run of WeatherDiffusion, which restores with its average."""
    if "ema_helper" in content or ("optimizer" in content and "temb.dense.0.weight" in state):
        return (
            f"{path} has no average of the weights (ema_helper), which its authors restore with: "
            "those of the last step are taken, and restore less well"
        )
    return ""


def is_state(value: Any) -> bool:
    """Return whether a value is tensors by their names, and nothing else."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(key, str) and hasattr(item, "shape") for key, item in value.items())


def plain_config(value: Any) -> Any:
    """Return nested namespaces as dictionaries, without what is not a plain value.

    Raises:
        CheckpointError: it has more values than any config.
    """
    left = MOST_VALUES

    def plain(value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise CheckpointError(f"the config in the file has more than {MOST_VALUES} values; it is none")
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if isinstance(value, dict):
            kept = {str(key): plain(item) for key, item in value.items()}
            return {key: item for key, item in kept.items() if item is not None}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value if isinstance(value, str | int | float | bool) else None

    try:
        found = plain(value)
    except RecursionError:
        raise CheckpointError("the config in the file is nested too deep; it is none") from None
    return found if isinstance(found, dict) else None
