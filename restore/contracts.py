"""The few types that every part of the toolkit agrees on.

A *denoiser* is `(x_t, level, condition) -> estimate of x_0`. Everything specific to a task is a denoiser around a
denoiser; everything numerical is a sampler that knows nothing else. A *network* is what a denoiser translates for:
it sees a noise level in the scale that it was trained with and returns whatever it was trained to predict. A *codec*
leads from images to the states that are diffused, and back.

Images are float tensors, channels first, in [-1, 1]: B of them, with H rows and W columns. A state has the shape
(B, state_channels, h, w); where nothing is encoded, it is an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

__all__ = ["Codec", "Condition", "Denoiser", "Estimate", "Level", "Network", "whole_image", "with_the_image"]


class Level(NamedTuple):
    """Where in the diffusion each image of a batch stands.

    Attributes:
        t: (B,) int64; 0 is the clean image, T (nearly) pure noise.
        alpha_bar: (B,) float64 in [0, 1], the share of the clean image's variance that is left at `t`.
        number: `t` as a plain number where all images stand at one level, as in every sampler; None where they do not.
            To read it never waits for a GPU.
        share: `alpha_bar` as a plain number, likewise.
    """

    t: Tensor
    alpha_bar: Tensor
    number: int | None = None
    share: float | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Level:
        """Return the level with a function applied to its tensors."""
        return self._replace(t=function(self.t), alpha_bar=function(self.alpha_bar))

    def numbers(self) -> list[int]:
        """Return the level of each image as plain numbers; waits for a GPU only where images stand at several."""
        return self.t.tolist() if self.number is None else [self.number] * len(self.t)


def with_the_image(**options: Any) -> Any:
    """Declare a field of `Condition` as spatial: cropped, flipped, padded and shrunk as the image is."""
    return field(metadata={"spatial": True}, **options)


def whole_image(**options: Any) -> Any:
    """Declare a field of `Condition` as global: one value for each image, whatever part of it is in sight."""
    return field(metadata={"spatial": False}, **options)


@dataclass(frozen=True, eq=False)
class Condition:
    """What is known about the image to be restored; everything that a denoiser is conditioned on.

    Each field is declared spatial or global, and decorators treat it by that alone. So a new one is one line, in a
    subclass or here: an edge map is `hint: Tensor | None = with_the_image(default=None)`, a text's tokens are global.

    Attributes:
        image: (B, C, H, W) in [-1, 1], the degraded image (and a mask as a fourth channel, for filling).
        label: (B,) int64, which degradation (0 = unknown), or None for all unknown.
        thumbnail: (B, 3, S, S) in [-1, 1], the whole degraded image made small, where a network sees one beside a tile.
        features: (B, C, s, s), what a network's `encode` makes of the thumbnail, which it then replaces.
        box: (B, 4) in [0, 1]: top, left, bottom, right of `image` within the whole image, or None for all of it.
    """

    image: Tensor = with_the_image()
    label: Tensor | None = whole_image(default=None)
    thumbnail: Tensor | None = whole_image(default=None)
    features: Tensor | None = whole_image(default=None)
    box: Tensor | None = whole_image(default=None)

    def replaced(self, **changes: Tensor | None) -> Self:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def map(self, function: Callable[[Tensor], Tensor], spatial: bool | None = None) -> Self:
        """Return a copy with a function applied to each field that is there.

        Args:
            function: of one tensor.
            spatial: True for spatial fields alone, False for global ones alone, None for all.
        """
        changes = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and spatial in (None, one.metadata["spatial"]):
                changes[one.name] = function(value)
        return replace(self, **changes)

    def select(self, index: Tensor | slice) -> Self:
        """Return the condition of some images of the batch, by index along the first axis."""
        return self.map(lambda value: value[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the condition on another device; `dtype` changes the floating-point fields only."""
        return self.map(lambda value: value.to(device=device, dtype=dtype if value.is_floating_point() else None))


class Estimate(NamedTuple):
    """What a denoiser returns.

    Attributes:
        x0: (B, state_channels, H, W), the estimate of the clean state, not necessarily clipped to [-1, 1].
        fraction: like x0, where the network learned the reverse step's variance, else None: between the
            logarithms of the smallest (0) and the largest (1) sensible variance. Only the sampler knows these two,
            for they depend on the next level that it visits.
        gradient: like x0, of the target's log-likelihood with respect to x_t, where guidance shifts
            the mean of the reverse step by its variance times this; None where the guidance is part of x0 already.
    """

    x0: Tensor
    fraction: Tensor | None = None
    gradient: Tensor | None = None


class Denoiser(Protocol):
    """`(x_t, level, condition) -> Estimate`; x_t is (B, state_channels, H, W)."""

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate of the clean state."""
        ...


class Network(Protocol):
    """`(x_t, value, condition) -> prediction`; `value` is the (B,) noise level in the network's own scale."""

    def __call__(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the raw prediction, (B, C, H, W), or (B, 2 C, H, W) where a variance is learned."""
        ...


class Codec(Protocol):
    """Leads from images to the states that are diffused, and back.

    Attributes:
        state_channels: channels of a state.
        factor: how many pixels one element of a state stands for along each axis; sides of images are padded to
            multiples of it.
        bounded: whether states have the range of images, [-1, 1], so that thresholds and residuals make sense.
    """

    @property
    def state_channels(self) -> int: ...  # noqa: D102

    @property
    def factor(self) -> int: ...  # noqa: D102

    @property
    def bounded(self) -> bool: ...  # noqa: D102

    def encode(self, image: Tensor) -> Tensor:
        """Return the states, (B, state_channels, H / factor, W / factor), of images, (B, 3, H, W) in [-1, 1]."""
        ...

    def decode(self, state: Tensor) -> Tensor:
        """Return the images, (B, 3, H, W), of states."""
        ...
