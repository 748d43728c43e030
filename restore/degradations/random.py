"""Seeded randomness with one generator per image, so that an image's draws never depend on its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from restore.errors import ArrayError
from restore.system.transfer import send

__all__ = ["CountRange", "Points", "PositiveRange", "PositiveShare", "Random", "Range", "Share"]


FARTHEST = 4096
"""Bound of all ranges: no length in pixels and no factor is larger."""


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    if max(abs(bound) for bound in bounds) > FARTHEST:
        raise ValueError(f"the bounds {bounds[0]} and {bounds[1]} must lie between -{FARTHEST} and {FARTHEST}")
    return bounds


def _positive(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] <= 0:
        raise ValueError(f"the lower bound {bounds[0]} must be above 0")
    return bounds


def _shares(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < 0 or bounds[1] > 1:
        raise ValueError(f"the bounds {bounds[0]} and {bounds[1]} must lie between 0 and 1")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""A pair (lowest, highest) that a parameter is drawn from."""

PositiveRange = Annotated[Range, AfterValidator(_positive)]
"""A range above 0, as logarithms need."""

Share = Annotated[Range, AfterValidator(_shares)]
"""A range within 0 to 1: shares of a whole, brightness, opacity."""

Count = Annotated[int, Field(le=256)]

PositiveShare = Annotated[Share, AfterValidator(_positive)]
"""A range above 0 and up to 1."""

CountRange = Annotated[tuple[Count, Count], AfterValidator(_ordered), AfterValidator(_positive)]
"""A range of whole numbers from 1."""


class Points(NamedTuple):
    """A ragged set of random points, N in all over the batch.

    Attributes:
        owner: (N,) int64, which sample the point belongs to.
        rank: (N,) int64, the point's place among its sample's points, from 0.
        values: (N, K) uniform in [0, 1).
    """

    owner: Tensor
    rank: Tensor
    values: Tensor


class Random:
    """Per-sample random draws: sample `i` sees only the stream that `seeds[i]` starts.

    Numbers are drawn on the CPU and moved to `device`, so that a seed means the same image on every device. So that
    nothing waits for a GPU, a degradation draws its parameters from `host`, which leaves them on the CPU where they can
    be read and computed with, and moves those that meet pixels together, by `send`.

    Args:
        seeds: one integer per sample of the batch.
        device: where the drawn tensors are returned.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def __len__(self) -> int:
        return len(self._generators)

    @property
    def host(self) -> Random:
        """The same streams, whose numbers stay on the CPU."""
        return self if self.device.type == "cpu" else self._sharing(self._generators, torch.device("cpu"))

    def send(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return tensors of the CPU on `device`, moved in one transfer that nothing waits for; see `transfer.send`."""
        return send(self.device, *tensors)

    def subset(self, index: Sequence[int]) -> Random:
        """Return the randomness of the samples `index`; it shares (and advances) their streams."""
        return self._sharing([self._generators[i] for i in index], self.device)

    def uniform(self, low: float | Tensor = 0.0, high: float | Tensor = 1.0, shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` float32 uniform in [low, high); tensor bounds must broadcast against the result."""
        drawn = self._draw(torch.rand, shape)
        return low + drawn * (high - low)

    def within(self, bounds: tuple[float, float], shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` uniform in `bounds`."""
        return self.uniform(bounds[0], bounds[1], shape)

    def log_within(self, bounds: tuple[float, float], shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` whose logarithm is uniform in `bounds`, both above 0."""
        low, high = torch.tensor(bounds, dtype=torch.float32).log().tolist()
        return self.uniform(low, high, shape).exp()

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` float32, standard normal."""
        return self._draw(torch.randn, shape)

    def chance(self, probability: float, shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` bool, true with `probability`."""
        return self.uniform(shape=shape) < probability

    def choice(self, weights: Sequence[float], shape: tuple[int, ...] = ()) -> Tensor:
        """Return `(B, *shape)` int64 indices into `weights`, each as likely as its weight; they need not sum to one."""
        total = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        edges = (total[:-1] / total[-1]).to(torch.float32)
        return torch.bucketize(self.uniform(shape=shape), *self.send(edges), right=True)

    def points(self, counts: Sequence[int], width: int) -> Points:
        """Return `counts[i]` points with `width` uniform values each for every sample `i`."""
        drawn = [torch.rand(int(n), width, generator=g) for n, g in zip(counts, self._generators, strict=True)]
        values = torch.cat(drawn) if drawn else torch.empty(0, width)
        values, numbers = self.send(values, torch.tensor([len(part) for part in drawn], dtype=torch.int64))
        samples = torch.arange(len(drawn), device=self.device)
        owner = torch.repeat_interleave(samples, numbers, output_size=len(values))
        rank = torch.arange(len(values), device=self.device) - (numbers.cumsum(0) - numbers)[owner]
        return Points(owner, rank, values)

    def severity(self, severity: float | Tensor | None) -> Tensor:
        """Return (B,) severities in [0, 1]: drawn uniformly for None, else the given number or (B,) tensor.

        The stream advances in every case, so that a severity changes nothing but the strength.

        Raises:
            ArrayError: a severity outside [0, 1], or a tensor that is not (B,).
        """
        drawn = self.uniform()
        if severity is None:
            return drawn
        given = torch.as_tensor(severity, dtype=torch.float32, device=self.device)
        if given.ndim > 1 or given.numel() not in (1, len(self)):
            shape = tuple(given.shape)
            raise ArrayError(f"severity must be a number or one number per sample ({len(self)}), got shape {shape}")
        if not bool(((given >= 0) & (given <= 1)).all()):
            raise ArrayError(f"severity must lie in [0, 1], got {given.tolist()}")
        return given.expand(len(self))

    def _draw(self, source: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        if not self._generators:
            return torch.empty((0, *shape), device=self.device)
        return self.send(torch.stack([source(shape, generator=g) for g in self._generators]))[0]

    @classmethod
    def _sharing(cls, generators: list[torch.Generator], device: torch.device) -> Random:
        """Return the randomness of some streams, which it advances."""
        random = cls((), device)
        random._generators = generators
        return random
