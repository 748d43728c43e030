"""Classifiers that guide: from a file of weights to a denoiser around a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from restore.contracts import Denoiser
from restore.denoisers.guidance import ClassifierGradient, ClassifierGuided
from restore.errors import ConfigError
from restore.models import native, published
from restore.models.auxiliary import ClassifierRecipe
from restore.models.find import find_weights
from restore.schema import parse
from restore.system.devices import pick_device

__all__ = ["classifier_guide", "load_classifier"]


def load_classifier(model: str | Path, device: str = "auto", dtype: torch.dtype = torch.float32) -> ClassifierGradient:
    """Return the gradient of a classifier, by the name of a shipped one or from a checkpoint file.

    Raises:
        ConfigError: there is no such model, or it is no classifier.
        CheckpointError: the file is damaged or does not fit its network.
    """
    path = find_weights(model)
    opened = published.open_checkpoint(path)
    if opened.recipe.get("kind") != "classifier":
        raise ConfigError(f"{path} is no classifier; guidance needs one that was trained on noised images")
    recipe = parse(ClassifierRecipe, opened.recipe, str(path))
    network = native.assemble(recipe.network.build, opened.tensors, str(path))
    network = network.to(pick_device(device), dtype).eval().requires_grad_(False)
    return ClassifierGradient(network, recipe.level_input, recipe.level_scale, dtype)


def classifier_guide(
    gradient: ClassifierGradient, label: int, scale: float = 1.0, by: Literal["score", "mean"] = "score"
) -> Callable[[Denoiser], Denoiser]:
    """Return the argument of `Restorer.guide`: guidance towards a label, whatever label the network is conditioned on.

    Args:
        gradient: from `load_classifier`.
        label: the target label, that of `clean` for instance.
        scale: see `ClassifierGuided`.
        by: see `ClassifierGuided`; `mean` needs the ancestral sampler.
    """
    return lambda denoiser: ClassifierGuided(denoiser, gradient.towards(label), scale, by)
