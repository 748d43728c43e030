"""Schedules that are given by their betas: the variance that each level adds."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.diffusion.schedule.table import Schedule
from restore.schema import Spec

__all__ = ["JSD", "Constant", "Linear", "Quadratic", "Sigmoid", "Warmup"]

START, END = 1e-4, 0.02  # DDPM, section 4, for 1000 levels
SIGMOID_RANGE = 6.0


class Linear(Spec):
    """Betas rise linearly (DDPM, section 4: 1e-4 to 0.02 over 1000 levels).

    An end that is left out is DDPM's times 1000 / steps, so that any number of levels ends in the same noise.

    Attributes:
        steps: number of noise levels T.
        beta_start: beta of the first level.
        beta_end: beta of the last level.
    """

    kind: Literal["linear"] = "linear"
    steps: int = Field(1000, ge=1, le=100_000)
    beta_start: float | None = Field(None, gt=0, le=1)
    beta_end: float | None = Field(None, gt=0, le=1)

    def build(self) -> Schedule:
        """Return the table.

        Raises:
            ConfigError: a beta exceeds 1, as the scaled constants do below 20 levels.
        """
        start = START * 1000 / self.steps if self.beta_start is None else self.beta_start
        end = END * 1000 / self.steps if self.beta_end is None else self.beta_end
        return Schedule.from_beta(torch.linspace(start, end, self.steps, dtype=torch.float64))


class Quadratic(Spec):
    """The roots of the betas rise linearly.

    Attributes:
        steps: number of noise levels T.
        beta_start: beta of the first level.
        beta_end: beta of the last level.
    """

    kind: Literal["quadratic"] = "quadratic"
    steps: int = Field(1000, ge=1, le=100_000)
    beta_start: float = Field(START, gt=0, le=1)
    beta_end: float = Field(END, gt=0, le=1)

    def build(self) -> Schedule:
        """Return the table."""
        return Schedule.from_beta(
            torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float64) ** 2
        )


class Constant(Spec):
    """All betas are equal.

    Attributes:
        steps: number of noise levels T.
        beta: beta of every level.
    """

    kind: Literal["constant"] = "constant"
    steps: int = Field(1000, ge=1, le=100_000)
    beta: float = Field(END, gt=0, le=1)

    def build(self) -> Schedule:
        """Return the table.

        Raises:
            ConfigError: there are so many levels that alpha_bar stops decreasing.
        """
        return Schedule.from_beta(torch.full((self.steps,), self.beta, dtype=torch.float64))


class JSD(Spec):
    """Betas are 1/T, 1/(T - 1), ... 1 (Sohl-Dickstein et al. 2015, section 2.4.1): alpha_bar falls linearly to 0.

    Attributes:
        steps: number of noise levels T.
    """

    kind: Literal["jsd"] = "jsd"
    steps: int = Field(1000, ge=1, le=100_000)

    def build(self) -> Schedule:
        """Return the table."""
        return Schedule.from_beta(1 / torch.arange(self.steps, 0, -1, dtype=torch.float64))


class Sigmoid(Spec):
    """Betas rise along a logistic curve from -6 to 6.

    Attributes:
        steps: number of noise levels T.
        beta_start: lower limit of the curve.
        beta_end: upper limit of the curve.
    """

    kind: Literal["sigmoid"] = "sigmoid"
    steps: int = Field(1000, ge=1, le=100_000)
    beta_start: float = Field(START, gt=0, le=1)
    beta_end: float = Field(END, gt=0, le=1)

    def build(self) -> Schedule:
        """Return the table."""
        x = torch.linspace(-SIGMOID_RANGE, SIGMOID_RANGE, self.steps, dtype=torch.float64)
        return Schedule.from_beta(x.sigmoid() * (self.beta_end - self.beta_start) + self.beta_start)


class Warmup(Spec):
    """Betas rise linearly over the first `share` of the levels (0.1 or 0.5 in published code), then stay.

    Attributes:
        steps: number of noise levels T.
        beta_start: beta of the first level.
        beta_end: beta of the last level, and of all after the rise.
        share: share of the levels over which the betas rise.
    """

    kind: Literal["warmup"] = "warmup"
    steps: int = Field(1000, ge=1, le=100_000)
    beta_start: float = Field(START, gt=0, le=1)
    beta_end: float = Field(END, gt=0, le=1)
    share: float = Field(0.1, ge=0, le=1)

    def build(self) -> Schedule:
        """Return the table."""
        beta: Tensor = torch.full((self.steps,), self.beta_end, dtype=torch.float64)
        rise = int(self.steps * self.share)
        beta[:rise] = torch.linspace(self.beta_start, self.beta_end, rise, dtype=torch.float64)
        return Schedule.from_beta(beta)
