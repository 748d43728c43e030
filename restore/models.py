"""Where models are: their cards, their files of weights, and the device and type that they run in."""

from __future__ import annotations

from pathlib import Path

import torch

from restore import resources
from restore.config import ModelCard
from restore.errors import ConfigError
from restore.schema import parse, read_yaml

__all__ = ["fast_dtype", "find_weights", "is_file", "model_card", "pick_device"]


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of a name: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:1`.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; choose auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, but this torch finds no CUDA device; use cpu or auto")
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"unknown device {name!r}; choose auto, cpu or cuda")
    return device


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return the type in which networks run fastest there: bfloat16 only where the hardware multiplies it."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def model_card(name: str) -> ModelCard:
    """Return the card of a model by its name.

    Raises:
        ConfigError: there is no model of that name.
    """
    return parse(ModelCard, read_yaml(resources.config_path("models", name)), f"the card of model {name}")


def is_file(model: str | Path) -> bool:
    """Return whether a model is given by a file, not by a name: it has a suffix or a folder, or is there."""
    path = Path(model)
    return path.suffix in {".safetensors", ".pt", ".pth", ".tar", ".ckpt"} or len(path.parts) > 1 or path.is_file()


def find_weights(model: str | Path) -> Path:
    """Return the file of weights of a model, by name or path.

    Raises:
        ConfigError: there is neither a shipped model nor a file of that name.
    """
    if not is_file(model):
        card = model_card(str(model))
        if not card.weights:
            where = f"download it from {card.url}" if card.url else "its authors do not distribute it"
            raise ConfigError(f"the weights of {model} do not ship: {where}, and pass the file instead of the name")
        return resources.weights_path(card.weights)
    path = Path(model)
    if not path.is_file():
        raise ConfigError(f"no such file of weights: {path} (`restore models list` shows what ships)")
    return path
