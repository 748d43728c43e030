"""Data for which everything is known: pictures whose values are independent Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.diffusion.schedule import Schedule

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@dataclass(frozen=True)
class Independent:
    """Values x0 ~ N(mean, variance), and the denoiser that is optimal for them."""

    mean: float
    variance: float

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return pictures, float64."""
        return self.mean + self.variance**0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def mmse(self, alpha_bar: Tensor) -> Tensor:
        """Return the variance of x0 given x_t."""
        return self.variance * (1 - alpha_bar) / (alpha_bar * self.variance + 1 - alpha_bar)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return E[x0 | x_t]."""
        alpha_bar = level.alpha_bar.reshape(-1, 1, 1, 1).to(x_t)
        gain = alpha_bar.sqrt() * self.variance / (alpha_bar * self.variance + 1 - alpha_bar)
        return Estimate(self.mean + gain * (x_t - alpha_bar.sqrt() * self.mean))

    def with_variance(self, schedule: Schedule, levels: list[int]):
        """Return the same denoiser with the exact variance of the reverse steps through these levels as a fraction."""
        steps = schedule.transitions(levels)
        exact = (steps.beta_tilde + steps.mean_x0**2 * self.mmse(schedule.alpha_bar[steps.t])).log()
        fraction = (exact - steps.log_beta_tilde) / (steps.log_beta - steps.log_beta_tilde)
        at = {t: fraction[i].item() for i, t in enumerate(levels[:-1])}

        def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
            told = torch.tensor([at[int(t)] for t in level.t], dtype=x_t.dtype).reshape(-1, 1, 1, 1)
            return self(x_t, level, condition)._replace(fraction=told.expand_as(x_t))

        return denoiser


@pytest.fixture
def independent() -> type[Independent]:
    return Independent


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of recorded numbers that belong to the tests."""
    return GOLDEN


def blank(shape: tuple[int, ...]) -> Condition:
    return Condition(torch.zeros(shape, dtype=torch.float64))


@pytest.fixture(scope="module", autouse=True)
def few_threads(one_thread: None) -> None:
    """Tensors are small here."""
