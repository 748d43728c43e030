"""Where models are: their cards and their files of weights."""

from __future__ import annotations

from pathlib import Path

from restore.errors import ConfigError
from restore.models.card import ModelCard
from restore.schema import parse, read_yaml
from restore.system import resources

__all__ = ["find_weights", "is_file", "model_card"]


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
