"""The cosine schedule."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from restore.diffusion.schedule.table import Schedule
from restore.schema import Spec

__all__ = ["Cosine"]


class Cosine(Spec):
    """`alpha_bar` follows a squared cosine (improved DDPM, eq. 17), betas capped at `max_beta`.

    Attributes:
        steps: number of noise levels T.
        s: offset that keeps the first betas from being too small.
        max_beta: upper limit of the betas.
    """

    kind: Literal["cosine"] = "cosine"
    steps: int = Field(1000, ge=1, le=100_000)
    s: float = Field(0.008, ge=0, lt=1)
    max_beta: float = Field(0.999, gt=0, lt=1)

    def build(self) -> Schedule:
        """Return the table."""
        i = torch.arange(self.steps + 1, dtype=torch.float64)
        f = torch.cos((i / self.steps + self.s) / (1 + self.s) * math.pi / 2) ** 2
        return Schedule.from_beta((1 - f[1:] / f[:-1]).clamp(max=self.max_beta))
