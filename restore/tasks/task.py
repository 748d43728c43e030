"""The interface of tasks: the network's condition in training, and how a user's image becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from restore.contracts import Condition
from restore.degradations import Degradation, Mixture, Random
from restore.denoisers.parameterization import Parameterization
from restore.errors import ConfigError
from restore.images import Photo
from restore.schema import Spec

__all__ = ["Example", "Examples", "Prepared", "Request", "Task"]


@dataclass(frozen=True)
class Request:
    """A user's options besides the image; None where an option was not given.

    Attributes:
        mask: (1, H, W), above 0.5 where pixels are to be restored.
        scale: how many times larger the result shall be.
        pad: pixels to add left, above, right and below.
        enlarged: the image was enlarged already to the size of the result.
    """

    mask: Tensor | None = None
    scale: int | None = None
    pad: tuple[int, int, int, int] | None = None
    enlarged: bool | None = None

    def given(self) -> set[str]:
        """Return the names of the options that were given."""
        return {field.name for field in fields(self) if getattr(self, field.name) is not None}


class Prepared(NamedTuple):
    """A user's image as the network's condition.

    Attributes:
        image: (B, C, H, W) in [-1, 1], in the size of the result; its first three channels are an image.
        hole: (B, 1, H, W), 1 where pixels are to be restored and 0 where those of `image` are kept; None for all.
    """

    image: Tensor
    hole: Tensor | None = None


class Example(NamedTuple):
    """Training images as the network's condition.

    Attributes:
        image: (B, C, H, W) in [-1, 1].
        label: (B,) int64.
        hole: (B, 1, H, W) or None; see `Prepared`.
    """

    image: Tensor
    label: Tensor
    hole: Tensor | None = None


Examples = Callable[[Tensor, Random, float | None], Example]
"""`(clean (B, 3, H, W) in [0, 1], random, severity) -> Example`."""


class Task(Spec):
    """A task: what is given and what is to be restored.

    The base is the task of restoring an image of the same size that is the network's condition as it is; kinds of tasks
    override what differs.
    """

    uses: ClassVar[frozenset[str]] = frozenset()
    """The fields of a request that may be given, by name."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """The fields of a request that must be given."""

    card: ClassVar[str] = "folder"
    """The dataset card that it is evaluated on by default."""

    whole: ClassVar[bool] = True
    """Whether every pixel is restored; else a request marks those that are, and the others are known."""

    clean_known: ClassVar[bool] = False
    """Whether known pixels are without noise in the network's training input."""

    labelled: ClassVar[bool] = False
    """Whether training gives a label of what is to be removed, which a detector can find."""

    aligned: ClassVar[bool] = False
    """Whether the network knows the blocks of JPEG by their places (`restore.denoisers.aligned`)."""

    kind: str

    @property
    def channels(self) -> int:
        """Channels of the condition."""
        return 3

    def variant(self, name: str) -> Task:
        """Return the variant of this task that a model does under `name`, one of its recipe's tasks."""
        return self

    def check(self, request: Request) -> None:
        """Raise ConfigError unless the request is valid for this task, whatever the image.

        Raises:
            ConfigError: a field is not one of `uses`, one of `needs` is missing, or a value is impossible.
        """
        for name in sorted(request.given() - self.uses):
            if name == "enlarged":
                raise ConfigError(f"task {self.kind} enlarges nothing: leave enlarged out of the request")
            raise ConfigError(f"task {self.kind} has no use for a {name}: leave --{name} out, or choose another model")
        for name in sorted(self.needs - request.given()):
            raise ConfigError(f"task {self.kind} needs a {name}: pass --{name}")

    def prepare(self, images: Tensor, request: Request) -> Prepared:
        """Return the network's condition for images, (B, 3, H, W) in [-1, 1].

        Raises:
            ConfigError: the request does not fit the task or the images.
        """
        self.check(request)
        return Prepared(images)

    def size(self, height: int, width: int, request: Request) -> tuple[int, int]:
        """Return the height and width of the result for an image of that size."""
        return height, width

    def polish(self, image: Tensor, restored: Tensor) -> Tensor:
        """Return restored images, (B, 3, H, W), with what is known exactly from `image`, the condition."""
        return restored

    def finish(self, image: Photo, pixels: Tensor, request: Request) -> Photo:
        """Return the restored pixels, (3, H, W) in [-1, 1], as an image of the kind that was given."""
        return image.with_pixels(pixels)

    def examples(self, weather: Mixture) -> Examples:
        """Return what makes training images; `weather` is the training run's mixture of degradations."""
        raise NotImplementedError

    def views(self, weather: Mixture) -> Mapping[str, Examples]:
        """Return what makes validation images, by name."""
        return {self.kind: self.examples(weather)}

    def from_pairs(self, degraded: Tensor) -> Tensor:
        """Return the condition of degraded images on disk, (B, 3, H, W) in [0, 1].

        Raises:
            ConfigError: this task cannot be trained from pairs.
        """
        return degraded * 2 - 1

    def request_for(
        self, degradation: Degradation, random: Random, height: int, width: int, severity: float | None
    ) -> Request:
        """Return the request for an image that `degradation` made, with these draws, of a clean one of that size."""
        return Request()

    def parameterization(self, own: Parameterization, x0: Tensor, condition: Condition) -> Parameterization:
        """Return what the network predicts of a training batch; `own`, the model's, where that is every pixel."""
        return own


def unlabelled(clean: Tensor) -> Tensor:
    """Return (B,) labels 0, for an unknown degradation."""
    return torch.zeros(len(clean), dtype=torch.int64, device=clean.device)
