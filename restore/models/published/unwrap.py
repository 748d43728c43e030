"""What lies around the tensors in a file: wrappers, averages beside last steps, prefixes of names, a config."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from restore.errors import CheckpointError, ConfigError
from restore.models import native
from restore.models.published import pickles
from restore.models.published.family import TensorLike

__all__ = ["Unwrapped", "averaged", "read", "unwrap"]

AVERAGES = ("ema_helper", "ema", "ema_state_dict", "params_ema", "model_ema")
STATES = ("state_dict", "model", "model_state_dict", "params", "network", "net")
PREFIXES = ("module.", "_orig_mod.", "ema_model.", "netG.")


class Unwrapped(NamedTuple):
    """The tensors of a file.

    Attributes:
        state: by their names, without the prefixes of wrappers.
        weights: in words, which of the file's they are.
        config: the original's, where it lies in the file.
    """

    state: dict[str, TensorLike]
    weights: str
    config: dict[str, Any] | None


def averaged(path: Path) -> Path:
    """Return the file of the average that lies beside one of Palette's, or the file itself where there is none."""
    average = path.with_name(f"{path.stem}_ema{path.suffix}")
    return average if path.stem.endswith("_Network") and average.is_file() else path


def read(path: Path, weights: str | None = None) -> tuple[Path, Any]:
    """Return the content of a file, and the file: Palette's average lies in another one beside it.

    Raises:
        CheckpointError: see `pickles.load`.
    """
    path = path if weights == "raw" else averaged(path)
    return path, native.load(path) if native.is_safetensors(path) else pickles.load(path)


def unwrap(path: Path, content: Any, weights: str | None = None) -> Unwrapped:
    """Return the tensors inside a file's wrappers: the average where there is one.

    Args:
        path: of the file, for messages and for what its name says.
        content: of the file.
        weights: `raw` takes those of the last step, `ema` insists on the average.

    Raises:
        CheckpointError: there are no tensors, or no average where the family restores with one.
        ConfigError: `weights` is neither, or `raw` of a file that holds an average alone.
    """
    if weights not in (None, "ema", "raw"):
        raise ConfigError(f"weights is ema or raw, not {weights!r}")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    config = plain(content["config"]) if "config" in content and not is_state(content) else None
    average = next((key for key in AVERAGES if is_state(content.get(key))), None)
    if average and weights != "raw":
        return Unwrapped(stripped(content[average]), f"average ({average})", config)
    key = next((key for key in STATES if is_state(content.get(key))), None)
    if key is not None:
        state, name = stripped(content[key]), f"last step ({key})"
    elif is_state(content):
        said = "average" if "ema" in path.name.split(".")[0].split("_") else "the only ones"
        state, name = stripped(content), f"{said} ({path.name})"
    elif {"optimizer", "optimizers", "state"} & set(content):
        raise CheckpointError(
            f"{path} holds the state of an optimizer, not weights; they lie in another file beside it"
        )
    else:
        entries = ", ".join(map(str, list(content)[:8])) or "none"
        raise CheckpointError(f"{path} holds no tensors by name; its entries are {entries}")
    if weights == "raw" and name.startswith("average"):
        beside = f"; the last step's lie in {path.name.replace('_ema', '', 1)}" if "_Network_ema" in path.name else ""
        raise ConfigError(f"{path} holds the average of the weights alone, so weights=raw cannot be had of it{beside}")
    # a training run's own file of WeatherDiffusion, which always has the average that it restores with
    lost = "ema_helper" in content or ("optimizer" in content and "temb.dense.0.weight" in state)
    if (weights == "ema" and not name.startswith("average")) or (lost and weights != "raw"):
        raise CheckpointError(
            f"{path} has no average of the weights (ema_helper), which its authors restore with; "
            "weights=raw takes those of the last step instead"
        )
    return Unwrapped(state, name, config)


def is_state(value: Any) -> bool:
    """Return whether a value is tensors by their names, and nothing else."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(key, str) and hasattr(item, "shape") for key, item in value.items())


def stripped(state: Mapping[str, TensorLike]) -> dict[str, TensorLike]:
    """Return the state without the prefixes that wrappers put before every name."""
    result = dict(state)
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in result)), None):
        result = {name.removeprefix(prefix): value for name, value in result.items()}
    return result


def plain(value: Any) -> Any:
    """Return nested namespaces as dictionaries, without what is not a plain value."""
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        kept = {str(key): plain(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None
