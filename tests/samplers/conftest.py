"""Data for which everything is known: images of six values that are jointly Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.diffusion.schedule import Schedule

SHAPE = (3, 1, 2)


@dataclass(frozen=True)
class Joint:
    """Images x0 ~ N(mean, covariance), (3, 1, 2) values each, and the denoiser that is optimal for them."""

    mean: Tensor
    covariance: Tensor

    def gain(self, alpha_bar: float) -> Tensor:
        """Return the matrix of E[x0 | x_t] = mean + gain (x_t - sqrt(alpha_bar) mean)."""
        noise = torch.eye(6, dtype=torch.float64) * (1 - alpha_bar)
        return alpha_bar**0.5 * self.covariance @ torch.linalg.inv(alpha_bar * self.covariance + noise)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return E[x0 | x_t]; all images stand at one level."""
        alpha_bar = float(level.alpha_bar[0])
        x0 = self.mean + (x_t.flatten(1) - alpha_bar**0.5 * self.mean) @ self.gain(alpha_bar).T
        return Estimate(x0.reshape(x_t.shape))

    def at(self, alpha_bar: float) -> Tensor:
        """Return the covariance of x_t."""
        return alpha_bar * self.covariance + (1 - alpha_bar) * torch.eye(6, dtype=torch.float64)

    def flow(self, x_t: Tensor, alpha_bar_t: float, alpha_bar_u: float) -> Tensor:
        """Return where the probability flow leads from x_t: along the axes of the covariance it only scales."""
        values, axes = torch.linalg.eigh(self.covariance)
        scale = ((alpha_bar_u * values + 1 - alpha_bar_u) / (alpha_bar_t * values + 1 - alpha_bar_t)).sqrt()
        centred = x_t.flatten(1) - alpha_bar_t**0.5 * self.mean
        return (alpha_bar_u**0.5 * self.mean + centred @ axes * scale @ axes.T).reshape(x_t.shape)


class Fresh:
    """Noise in float64 from one seed, for many small images at once."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


@pytest.fixture(scope="session")
def joint() -> Joint:
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64) / 6**0.5
    return Joint(torch.linspace(-0.5, 0.7, 6, dtype=torch.float64), root @ root.T * 0.5)


@pytest.fixture
def fresh() -> type[Fresh]:
    return Fresh


@pytest.fixture(scope="session")
def blank() -> Callable[[int], Condition]:
    """A condition that asks for so many images of six values."""
    return lambda batch: Condition(torch.zeros(batch, *SHAPE, dtype=torch.float64))


@pytest.fixture(scope="session")
def linear_in_log_snr() -> Callable[[int, float, float], Schedule]:
    """A schedule of evenly spaced log(a / s)."""

    def build(T: int, start: float, end: float) -> Schedule:
        lambdas = torch.linspace(start, end, T, dtype=torch.float64)
        return Schedule(torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(2 * lambdas)]))

    return build


@pytest.fixture(scope="module", autouse=True)
def few_threads(one_thread: None) -> None:
    """Tensors are small here."""
