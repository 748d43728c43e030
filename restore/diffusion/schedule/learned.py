"""A schedule that is learned: a small network with positive weights, monotone in time (Kingma et al. 2021)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.diffusion.schedule.table import Schedule
from restore.schema import Spec

__all__ = ["Learned", "LearnedSchedule", "LogSNR"]


class LogSNR(nn.Module):
    """The logarithm of the signal-to-noise ratio, strictly decreasing in time from 0 to 1.

    Variational diffusion models, appendix H: a linear layer plus a sigmoid layer on top of it, all weights positive,
    rescaled so that its ends are the two parameters `start` and `end`.

    Args:
        start: log-SNR at time 0.
        end: log-SNR at time 1; below `start`.
        hidden: width of the sigmoid layer.
    """

    def __init__(self, start: float, end: float, hidden: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.tensor(start))
        self.log_range = nn.Parameter(torch.tensor(start - end).log())
        # softplus of these are the weights; the sigmoid layer starts spread over time and small beside the linear one
        self.slope = nn.Parameter(torch.tensor(math.log(math.e - 1)))
        self.steepness = nn.Parameter(torch.full((hidden,), 6.0))
        self.centre = nn.Parameter(torch.linspace(0, 1, hidden))
        self.height = nn.Parameter(torch.full((hidden,), math.log(math.expm1(0.1 / hidden))))

    @property
    def end(self) -> Tensor:
        """The log-SNR at time 1, a scalar below `start`."""
        return self.start - self.log_range.exp()

    def rise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far, from 0 to 1, the log-SNR has come at (B,) times in [0, 1], and the (B,) derivative."""
        ends = time.new_tensor([0.0, 1.0])
        linear = F.softplus(self.slope)
        steep, height = F.softplus(self.steepness), F.softplus(self.height)
        gate = torch.sigmoid(steep * (torch.cat([ends, time])[:, None] - self.centre))
        value = linear * torch.cat([ends, time]) + (gate * height).sum(1)
        slope = linear + (gate * (1 - gate) * steep * height).sum(1)[2:]
        span = value[1] - value[0]
        return (value[2:] - value[0]) / span, slope / span

    def forward(self, time: Tensor) -> Tensor:
        """Return the (B,) log-SNR at (B,) times."""
        return self.start - self.log_range.exp() * self.rise(time)[0]


@dataclass(frozen=True, eq=False)
class LearnedSchedule(Schedule):
    """A table read off a network at one moment; `refreshed` reads it again.

    Attributes:
        module: the network, to be trained.
    """

    module: LogSNR = field(kw_only=True)

    @classmethod
    def read(cls, module: LogSNR, steps: int) -> LearnedSchedule:
        """Return the table of (steps,) levels evenly spaced in time."""
        device = module.start.device
        with torch.no_grad():
            time = torch.linspace(0, 1, steps, dtype=torch.float64, device=device)
            log_snr = copy.deepcopy(module).double()(time).cpu()
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), log_snr.sigmoid()]), module=module)

    def refreshed(self) -> LearnedSchedule:
        """Return the table of the network as it is now."""
        return self.read(self.module, self.T)


class Learned(Spec):
    """A log-SNR that is learned along with the network, by the `continuous_bound` objective.

    Attributes:
        steps: levels of the table that samplers use.
        start: log-SNR of level 1 before training.
        end: log-SNR of the last level before training.
        hidden: width of the network.
        table: (steps,) the log-SNR of each level once it has been trained.
    """

    kind: Literal["learned"] = "learned"
    steps: int = Field(1000, ge=2, le=100_000)
    start: float = Field(10.0, ge=-20, le=20)
    end: float = Field(-6.0, ge=-20, le=20)
    hidden: int = Field(256, ge=1, le=4096)
    table: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Learned:
        if self.end >= self.start:
            raise ValueError(f"end must be below start, {self.start}, not {self.end}: the log-SNR decreases")
        if self.table is not None and len(self.table) != self.steps:
            raise ValueError(f"table must hold one log-SNR for each of the {self.steps} levels, not {len(self.table)}")
        if self.table is not None and any(low >= high for high, low in pairwise(self.table)):
            raise ValueError("table must decrease strictly from level to level")
        return self

    def build(self) -> Schedule:
        """Return the trained table, or a fresh `LearnedSchedule`."""
        if self.table is None:
            return LearnedSchedule.read(LogSNR(self.start, self.end, self.hidden), self.steps)
        log_snr = torch.tensor(self.table, dtype=torch.float64)
        return Schedule(torch.cat([torch.ones(1, dtype=torch.float64), log_snr.sigmoid()]))

    def trained(self, schedule: Schedule) -> Learned:
        """Return this document with the table that a network has learned."""
        log_snr = [schedule.log_snr(t) for t in range(1, schedule.T + 1)]
        return self.model_copy(update={"table": tuple(log_snr)})
