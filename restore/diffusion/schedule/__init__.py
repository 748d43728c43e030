"""Noise schedules: how much of the clean image is left at each level, and which levels a sampler visits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from restore.diffusion.schedule.betas import JSD, Constant, Linear, Quadratic, Sigmoid, Warmup
from restore.diffusion.schedule.cosine import Cosine
from restore.diffusion.schedule.learned import Learned, LearnedSchedule, LogSNR
from restore.diffusion.schedule.spacing import SPACINGS, Spacing, visited
from restore.diffusion.schedule.table import Schedule, Transitions
from restore.diffusion.schedule.zero_terminal import ZeroTerminal

__all__ = [
    "JSD",
    "SPACINGS",
    "Constant",
    "Cosine",
    "Learned",
    "LearnedSchedule",
    "Linear",
    "LogSNR",
    "Quadratic",
    "Schedule",
    "ScheduleSpec",
    "Sigmoid",
    "Spacing",
    "Transitions",
    "Warmup",
    "ZeroTerminal",
    "visited",
]

ScheduleSpec = Annotated[
    Linear | Quadratic | Constant | JSD | Sigmoid | Warmup | Cosine | ZeroTerminal | Learned,
    Field(discriminator="kind"),
]
