"""Codecs: what leads from images to the states that are diffused, and back (`restore.contracts.Codec`)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from restore.schema import Spec

__all__ = ["Identity"]


class Identity(Spec):
    """No codec: images are diffused as they are."""

    kind: Literal["identity"] = "identity"

    @property
    def state_channels(self) -> int:
        """Channels of a state."""
        return 3

    @property
    def factor(self) -> int:
        """How many pixels one element of a state stands for along each axis."""
        return 1

    @property
    def bounded(self) -> bool:
        """Whether states have the range of images."""
        return True

    def build(self) -> Identity:
        """Return the codec: it has no weights."""
        return self

    def encode(self, image: Tensor) -> Tensor:
        """Return the images."""
        return image

    def decode(self, state: Tensor) -> Tensor:
        """Return the states."""
        return state
