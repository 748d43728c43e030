"""The tensors of a file under the names that their family gives them, and the way back to the file's own keys.

The same network circulates as `conv_in.weight`, `module.conv_in.weight`, `model._orig_mod.conv_in.weight` and so on.
What is around a name is taken off here, so that a family sees its own names; errors speak of the file's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from restore.models.fitting import shown

__all__ = ["DEEPEST", "DENOISER", "NamedTensors", "TensorLike", "called", "canonical", "is_average"]

TensorLike = Any  # a tensor, a tensor on the meta device, or a `pickles.Header`: it has a shape

DENOISER = "denoise_fn."
"""Where SR3 and Palette keep their U-Net, beside the tables of the schedule."""

DEEPEST = 12  # parts of a name that are distinguished; the deepest of a family has nine
DROPPED = frozenset({"module", "_orig_mod"})  # parts that parallel and compiled modules put anywhere into a name
COUNTERS = frozenset({"n_averaged", "initted", "step", "num_updates", "decay"})  # of averages, beside their weights
TABLES = ("betas", "alphas_", "gammas", "sqrt_", "log_one_", "posterior_")  # beginnings of names of schedule tables
BARE = ("downs.", "ups.", "final_conv.", "noise_level_mlp.", "time_mlp.", "cond_embed.")  # of a U-Net by itself


class NamedTensors(dict[str, TensorLike]):
    """Tensors by the names that their family gives them.

    Args:
        tensors: by these names.
        keys: what the file calls them, where that differs.
    """

    def __init__(self, tensors: Mapping[str, TensorLike], keys: Mapping[str, str] | None = None) -> None:
        super().__init__(tensors)
        self.keys_of_file = dict(keys or {})
        self.parents = _parents(self.keys_of_file)

    def called(self, name: str) -> str:
        """Return what the file calls a tensor, or would call it if it were there, as its neighbours are called."""
        if name in self.keys_of_file:
            return self.keys_of_file[name]
        parts = name.split(".")
        for i in reversed(range(len(parts))):
            parent = "".join(f"{part}." for part in parts[:i])
            if parent in self.parents:
                return self.parents[parent] + name.removeprefix(parent)
        return name


def called(tensors: Mapping[str, TensorLike]) -> Callable[[str], str]:
    """Return how to get from a family's name of a tensor to a file's, as a message shows it."""
    return lambda name: shown(tensors.called(name) if isinstance(tensors, NamedTensors) else name)


def _parents(keys: Mapping[str, str]) -> dict[str, str]:
    """Return what the file puts in place of each beginning of a family's names, up to a dot; the first name decides."""
    found: dict[str, str] = {}
    for name, key in sorted(keys.items(), key=lambda item: item[0].startswith(TABLES)):
        parts = name.split(".", DEEPEST)
        for i in range(len(parts)):
            rest = ".".join(parts[i:])
            if key.endswith(rest):
                found.setdefault("".join(f"{part}." for part in parts[:i]), key.removesuffix(rest))
    return found


def is_average(part: str) -> bool:
    """Return whether a name says that the weights under it are an average over the steps of training."""
    words = set(part.lower().split("_"))
    return bool(words & {"ema", "shadow", "averaged", "average", "swa"})


def canonical(state: Mapping[str, TensorLike], average: bool = True) -> tuple[NamedTensors, str]:
    """Return tensors by the names that their family gives them, and the name of the average that they are.

    Left out are parts that wrappers put into names, a first part that all names have, and what averages count; a
    U-Net of SR3 or Palette that stands alone is put where theirs stands.

    Args:
        state: by the file's names.
        average: of a state that holds weights and their average (`ema_model.` beside `online_model.`), which to take.
    """
    names = {key: ".".join(part for part in key.split(".") if part not in DROPPED) for key in state}
    if len(set(names.values())) != len(names) or "" in names.values():
        names = {key: key for key in state}
    averaged = "n_averaged" if "n_averaged" in names else ""
    if any("." in name for name in names.values()):
        names = {key: name for key, name in names.items() if name not in COUNTERS}
    names, which = _one_of_two(names, average)
    names = _without_common_part(names)
    if any(name.startswith(BARE) for name in names.values()):
        names = {key: name if name.startswith(TABLES) else DENOISER + name for key, name in names.items()}
    keys = {name: key for key, name in names.items()}
    return NamedTensors({name: state[key] for name, key in keys.items()}, keys), which or averaged


def _one_of_two(names: dict[str, str], average: bool) -> tuple[dict[str, str], str]:
    """Return the average's names, or the others, where a state holds both; and how the average is called."""
    firsts = {name.partition(".")[0] for name in names.values() if "." in name}
    averages = [first for first in firsts if is_average(first)]
    if len(averages) != 1:
        return names, ""
    of_average = {key: name for key, name in names.items() if name.startswith(averages[0] + ".")}
    others = {key: name for key, name in names.items() if key not in of_average}
    if not others:
        return names, averages[0]
    return (of_average, averages[0]) if average else (others, "")


def _without_common_part(names: dict[str, str]) -> dict[str, str]:
    """Return the names without the first part that all of them have; tables of a schedule need not have it."""
    while True:
        firsts = {name.partition(".")[0] for name in names.values() if "." in name or not name.startswith(TABLES)}
        common = next(iter(firsts)) + "." if len(firsts) == 1 else DENOISER
        if common == DENOISER or any(name == common[:-1] for name in names.values()):
            return names
        names = {key: name.removeprefix(common) for key, name in names.items()}
