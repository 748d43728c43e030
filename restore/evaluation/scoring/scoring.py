"""Scores of one image under several protocols, each thing computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError
from restore.evaluation.metrics import METRICS, Protocol, get_metric, protocol_size, score
from restore.evaluation.scoring.records import Scores
from restore.images.values import rec601

__all__ = ["Scoring", "Size", "input_size", "score_all"]

Size = tuple[int, int] | None
"""Height and width to which a protocol brings an image, None where it leaves it as it is."""


@dataclass(frozen=True)
class Scoring:
    """The protocols and metrics of an evaluation.

    Attributes:
        protocols: under which every image is scored; the first one is the one that a report leads with.
        metrics: beside those that each protocol names.
        scale: the factor of super-resolution, for protocols that need it.
        device: where scores are computed.
    """

    protocols: Sequence[Protocol]
    metrics: Sequence[str] = ()
    scale: int | None = None
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if not self.protocols:
            raise ConfigError("an evaluation needs at least one protocol")
        names = [protocol.name for protocol in self.protocols]
        if len(set(names)) < len(names):
            raise ConfigError(f"two protocols of one name cannot be told apart in a table: {', '.join(names)}")
        if self.scale is None and any(protocol.crop == "scale" for protocol in self.protocols):
            raise ConfigError("protocol sr cuts off a border as wide as the factor of super-resolution: pass --scale")
        for metric in self.metrics:
            if get_metric(metric).per == "set":
                raise ConfigError(f"{metric} compares two sets of images and has no score for one")

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON values, what scores depend on."""
        return {
            "protocols": [protocol.model_dump(mode="json", exclude={"description"}) for protocol in self.protocols],
            "metrics": sorted(self.metrics),
            "scale": self.scale,
            "gray": "one channel",
        }


def input_size(degraded: Tensor | None, protocol: Protocol) -> Size:
    """Return the size to which the protocol brings an input, (3, H, W), before it is restored."""
    if degraded is None:
        return None
    height, width = degraded.shape[-2:]
    size = protocol_size(height, width, protocol)
    return None if size == (height, width) else size


def score_all(scoring: Scoring, images: Mapping[str, Tensor], target: Tensor, gray: bool = False) -> Scores:
    """Return the scores of one image under all protocols.

    Args:
        scoring: which protocols and metrics.
        images: (3, H, W) in [-1, 1] by the name of the protocol that scores them: restored from what that protocol
            shows, so that no protocol ever takes the image of another.
        target: (3, H, W) in [-1, 1].
        gray: the ground truth has one channel, so that one is scored: of an image, the luma that its file would hold.

    Raises:
        ArrayError: the two cannot be compared under a protocol.
    """
    truth = _batch(target, gray).to(scoring.device)
    scores: dict[str, dict[str, float]] = {}
    colours: dict[tuple[object, ...], dict[str, float]] = {}
    for protocol in scoring.protocols:
        batch = _batch(images[protocol.name], gray).to(scoring.device)
        found = score(batch, truth, protocol, scale=scoring.scale)
        values = {name: float(value) for name, value in found.items()}
        # a metric of colours does not depend on the channel that a protocol scores
        known = colours.setdefault((protocol.geometry, protocol.crop, protocol.quantise == "colors"), {})
        for metric in scoring.metrics:
            if metric in known:
                values.setdefault(metric, known[metric])
            if metric not in values:
                values |= _optional(batch, truth, protocol, scoring.scale, metric)
            if METRICS[metric].of_colors and metric in values:
                known[metric] = values[metric]
        scores[protocol.name] = values
    return scores


def _batch(image: Tensor, gray: bool) -> Tensor:
    """Return an image, (3, H, W), as a batch of one, with the one channel of its file where it is grey."""
    return rec601(image)[None, None] if gray else image[None]


def _optional(batch: Tensor, truth: Tensor, protocol: Protocol, scale: int | None, metric: str) -> dict[str, float]:
    """Return the score of an additional metric, or nothing where the image is too small for it."""
    try:
        return {metric: float(score(batch, truth, protocol, scale=scale, metrics=(metric,))[metric])}
    except ArrayError:
        return {}
