"""Noise for samplers: one seeded generator per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError

__all__ = ["Noise", "RecordedNoise", "SeededNoise"]


class Noise(Protocol):
    """Where a sampler takes its Gaussian noise from."""

    def draw(self, like: Tensor) -> Tensor:
        """Return the next standard normal draw in the shape, type and device of `like`, (B, C, H, W)."""
        ...


class SeededNoise:
    """Standard normal noise from one generator per image.

    The draws of an image depend on its seed alone: not on its neighbours in the batch, its place, or the device
    (numbers are drawn on the CPU in float32).
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """Take one seed per image.

        Raises:
            ConfigError: a seed is below 0, or does not fit into 63 bits.
        """
        # shifted by 63 bits, one that fits is 0 and one below 0 is -1
        if wrong := [seed for seed in seeds if seed >> 63]:
            raise ConfigError(f"a seed is a whole number from 0 to 2**63 - 1, not {wrong[0]}")
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(self, like: Tensor) -> Tensor:
        """Return the next draw, (B, C, H, W).

        Raises:
            ArrayError: the batch has another size than there are seeds.
        """
        if len(like) != len(self.generators):
            raise ArrayError(f"a batch of {len(like)} needs {len(like)} seeds, there are {len(self.generators)}")
        # from pinned memory a GPU takes it when it comes to it, and nobody waits
        drawn = torch.empty(like.shape, dtype=torch.float32, pin_memory=like.is_cuda)
        for one, generator in zip(drawn, self.generators, strict=True):
            torch.randn(one.shape, generator=generator, out=one)
        return drawn.to(like, non_blocking=like.is_cuda)


class RecordedNoise:
    """Noise that was recorded before: each draw returns the next of the given tensors."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self.draws = iter(draws)

    def draw(self, like: Tensor) -> Tensor:
        """Return the next recorded tensor.

        Raises:
            ArrayError: it has another shape than the sampler needs, or none is left.
        """
        noise = next(self.draws, None)
        if noise is None or noise.shape != like.shape:
            found = "no draw is left" if noise is None else f"the recorded draw is {tuple(noise.shape)}"
            raise ArrayError(f"the sampler needs noise of shape {tuple(like.shape)}, but {found}")
        return noise.to(like)
