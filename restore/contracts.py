"""The few types that every part of the toolkit agrees on.

A *denoiser* is `(x_t, level, condition) -> estimate of x_0`. Everything specific to a task is a denoiser around a
denoiser; everything numerical is a sampler that knows nothing else. A *network* is what a denoiser translates for:
it sees a noise level in the scale that it was trained with and answers with whatever it was trained to predict.

Images are float tensors, channels first, in [-1, 1]; B pictures, H rows, W columns.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["Condition", "Denoiser", "Estimate", "Level", "Network"]


class Level(NamedTuple):
    """Where in the diffusion each picture of a batch stands.

    Attributes:
        t: (B,) int64; 0 is the clean picture, T (nearly) pure noise.
        alpha_bar: (B,) float64 in [0, 1], the share of the clean picture's variance that is left at `t`.
    """

    t: Tensor
    alpha_bar: Tensor


class Condition(NamedTuple):
    """What is known about the picture that is asked for.

    Attributes:
        image: (B, C, H, W) in [-1, 1], the degraded picture.
        label: (B,) int64, which degradation (0 = unknown), or None for all unknown.
        context: what every tile is shown of the whole degraded picture: a thumbnail (B, 3, S, S) in [-1, 1], or the
            features (B, C, s, s) that a network with `encode` makes of it; None where there is nothing.
        box: (B, 4) in [0, 1]: top, left, bottom, right of `image` within the whole picture, or None for all of it.
    """

    image: Tensor
    label: Tensor | None = None
    context: Tensor | None = None
    box: Tensor | None = None

    def map(self, **changes: Tensor | None) -> Condition:
        """Return a copy with some fields replaced."""
        return self._replace(**changes)

    def select(self, index: Tensor | slice) -> Condition:
        """Return the condition of some pictures of the batch, by index along the first axis."""
        return Condition(*(None if field is None else field[index] for field in self))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Condition:
        """Return the condition on another device; `dtype` changes the floating-point fields only."""

        def move(field: Tensor | None) -> Tensor | None:
            if field is None:
                return None
            return field.to(device=device, dtype=dtype if field.is_floating_point() else None)

        return Condition(*(move(field) for field in self))


class Estimate(NamedTuple):
    """What a denoiser answers.

    Attributes:
        x0: (B, 3, H, W), the estimate of the clean picture, not necessarily clipped to [-1, 1].
        fraction: (B, 3, H, W), where the network learned the reverse step's variance, else None: between the
            logarithms of the smallest (0) and the largest (1) sensible variance. Only the sampler knows these two,
            for they depend on the next level that it visits.
        gradient: (B, 3, H, W), of the log-likelihood of what is asked for with respect to x_t, where guidance shifts
            the mean of the reverse step by its variance times this; None where the guidance is part of x0 already.
    """

    x0: Tensor
    fraction: Tensor | None = None
    gradient: Tensor | None = None


class Denoiser(Protocol):
    """`(x_t, level, condition) -> Estimate`; x_t is (B, 3, H, W)."""

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the estimate of the clean picture."""
        ...


class Network(Protocol):
    """`(x_t, value, condition) -> prediction`; `value` is the (B,) noise level in the network's own scale."""

    def __call__(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the raw prediction, (B, 3, H, W) or (B, 6, H, W) where a variance is learned."""
        ...
