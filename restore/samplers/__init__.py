"""Samplers: numerical methods that know a denoiser, a schedule and a source of noise, and nothing else."""

from __future__ import annotations

from typing import Annotated

from restore.samplers.ancestral import Ancestral
from restore.samplers.consistency import Consistency
from restore.samplers.ddim import DDIM
from restore.samplers.dpm_solver import DPMSolver
from restore.samplers.langevin import Langevin
from restore.samplers.noise import Noise, RecordedNoise, SeededNoise
from restore.samplers.posterior import Calibration, Moments, Posterior
from restore.samplers.step import Sampler, Step
from restore.schema import Kinds

__all__ = [
    "DDIM",
    "Ancestral",
    "Calibration",
    "Consistency",
    "DPMSolver",
    "Langevin",
    "Moments",
    "Noise",
    "Posterior",
    "RecordedNoise",
    "Sampler",
    "SamplerSpec",
    "SeededNoise",
    "Step",
]

SamplerSpec = Annotated[DDIM | Ancestral | DPMSolver | Langevin | Consistency, Kinds("restore.samplers", Sampler)]
