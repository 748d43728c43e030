"""The mathematics of diffusion: schedules, predictions, denoisers, guidance, objectives, likelihood."""

from __future__ import annotations

from restore.diffusion.denoiser import Clipped, LevelInput, NetworkDenoiser
from restore.diffusion.parameterization import Prediction
from restore.diffusion.schedule import Cosine, Linear, Schedule, ScheduleSpec

__all__ = [
    "Clipped",
    "Cosine",
    "LevelInput",
    "Linear",
    "NetworkDenoiser",
    "Prediction",
    "Schedule",
    "ScheduleSpec",
]
