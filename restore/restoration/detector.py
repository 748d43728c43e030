"""Which weather an image shows: the decision behind `--task auto`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restore import images
from restore.errors import ConfigError, MissingResource
from restore.models import native, published
from restore.models.auxiliary import DetectorRecipe
from restore.models.find import find_weights, is_file, model_card
from restore.schema import parse
from restore.system import resources
from restore.system.devices import pick_device

__all__ = ["AUTO", "MIXED", "Decision", "Detector", "decide"]

AUTO = "auto"
"""The task of finding out what there is to do."""

MIXED = "mixed"
"""What is decided of weather of several kinds, and where no kind is sure enough: the label is `unknown`."""

NO_DETECTOR = "{} is no detector; `restore train detector` makes one"


class Decision(NamedTuple):
    """What an image shows.

    Attributes:
        kind: a kind of weather, `clean` or `mixed`.
        confidence: the probability, in [0, 1], that it is clean, or that it is the likeliest kind of weather if any.
        probabilities: of all kinds; they sum to 1.
    """

    kind: str
    confidence: float
    probabilities: Mapping[str, float]

    @property
    def clean(self) -> bool:
        """Whether there is nothing to remove."""
        return self.kind == "clean"

    @property
    def label(self) -> str:
        """The degradation label that a model is conditioned on."""
        return "unknown" if self.kind == MIXED else self.kind

    def __str__(self) -> str:
        """Return the decision as a user reads it: `snow, 93 %`."""
        sure = f"{round(100 * self.confidence)} %"
        if self.kind != MIXED:
            return f"{self.kind}, {sure}"
        likeliest = max((kind for kind in self.probabilities if kind != "clean"), key=self.probabilities.__getitem__)
        return f"{MIXED}, {sure}" if likeliest == MIXED else f"{MIXED}, {likeliest} by {sure} only"

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        probabilities = {kind: round(value, 4) for kind, value in self.probabilities.items()}
        return {"kind": self.kind, "confidence": round(self.confidence, 4), "probabilities": probabilities}


def decide(probabilities: Mapping[str, float], clean: float, threshold: float) -> Decision:
    """Return what an image shows: `clean` where that is as likely as `clean`, else the likeliest kind of weather.

    Whether there is weather and which are two questions. An image that is perhaps clean is restored anyway, and then
    the label of what else it could show is still better than none. Where that kind is less likely than `threshold`
    among all kinds of weather, it is `mixed`.

    >>> decide({"rain": 0.2, "snow": 0.1, "clean": 0.7}, 0.65, 0.5).kind
    'clean'
    >>> decide({"rain": 0.375, "snow": 0.125, "clean": 0.5}, 0.65, 0.5)[:2]
    ('rain', 0.75)
    >>> decide({"rain": 0.2, "snow": 0.2, "clean": 0.6}, 0.65, 0.6).kind
    'mixed'
    """
    none = probabilities.get("clean", 0.0)
    if none >= clean:
        return Decision("clean", none, dict(probabilities))
    kinds = {kind: value for kind, value in probabilities.items() if kind != "clean"}
    kind = max(kinds, key=lambda name: kinds[name])
    confidence = kinds[kind] / max(1 - none, 1e-12)
    return Decision(kind if confidence >= threshold else MIXED, confidence, dict(probabilities))


class Detector:
    """A network that names the weather of an image; see `DetectorRecipe`.

    Args:
        recipe: what its outputs mean, and the least confidence of a decision.
        network: with its weights.
        device: where it runs; in float32, since it is small.
        sha256: of its file of weights, where it has one.
    """

    def __init__(
        self, recipe: DetectorRecipe, network: nn.Module, device: torch.device | str = "cpu", sha256: str = ""
    ) -> None:
        self.recipe, self.device, self.sha256 = recipe, torch.device(device), sha256
        self.network = network.to(self.device, torch.float32, memory_format=torch.channels_last).eval()

    @classmethod
    def from_pretrained(cls, model: str | Path = "detector", device: str = "auto") -> Detector:
        """Return a detector, by the name of the one that ships or from a file of `restore train detector`.

        Raises:
            ConfigError: there is no such model or file, or it is no detector.
            MissingResource: the weights that should ship are not there.
            CheckpointError: the file is damaged, or does not fit its network.
        """
        if not is_file(model):
            card = model_card(str(model))
            if not isinstance(card.recipe, DetectorRecipe):
                raise ConfigError(NO_DETECTOR.format(model))
            if Path(card.weights).stem not in resources.list_weights():
                raise MissingResource(
                    f"task {AUTO!r} needs the weights of {model}, which are not there: make them with "
                    f"`python scripts/train_models.py PHOTOGRAPHS --models {model}`, or name the task: weather, "
                    "derain, desnow, dehaze or raindrop"
                )
        path = find_weights(model)
        opened = published.open_checkpoint(path)
        if opened.recipe.get("kind") != "detector":
            raise ConfigError(NO_DETECTOR.format(path))
        recipe = parse(DetectorRecipe, opened.recipe, str(path))
        network = native.assemble(recipe.network.build, opened.tensors, str(path))
        return cls(recipe, network, pick_device(device), hashlib.sha256(path.read_bytes()).hexdigest())

    def __call__(self, image: Any) -> Decision:
        """Return what an image shows.

        Args:
            image: (3, H, W) in [-1, 1], or what else a `Restorer` takes: a path, a `Photo`, a PIL image, an array.

        Raises:
            ImageError: the file is not an image, or is damaged.
            ArrayError: the array cannot be an image.
        """
        pixels = image if isinstance(image, Tensor) else images.from_any(image)[0][0].pixels
        return decide(self.probabilities(pixels[None])[0], self.recipe.clean, self.recipe.threshold)

    @torch.no_grad()
    def probabilities(self, photos: Tensor) -> list[dict[str, float]]:
        """Return the probability of each kind for each of some images, (B, 3, H, W) in [-1, 1]."""
        found = self.network(photos.to(self.device, torch.float32)).softmax(1).cpu().tolist()
        kinds = [MIXED if label == "unknown" else label for label in self.recipe.labels]
        return [dict(zip(kinds, row, strict=True)) for row in found]
