"""Samplers: numerical methods that know a denoiser, a schedule and a source of noise, and nothing else."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from restore.sampling.ancestral import Ancestral
from restore.sampling.consistency import Consistency
from restore.sampling.ddim import DDIM
from restore.sampling.dpm_solver import DPMSolver
from restore.sampling.langevin import Langevin
from restore.sampling.noise import Noise, RecordedNoise, SeededNoise, seed_of
from restore.sampling.posterior import Calibration, Moments
from restore.sampling.step import Sampler, Step

__all__ = [
    "DDIM",
    "Ancestral",
    "Calibration",
    "Consistency",
    "DPMSolver",
    "Langevin",
    "Moments",
    "Noise",
    "RecordedNoise",
    "Sampler",
    "SamplerSpec",
    "SeededNoise",
    "Step",
    "seed_of",
]

SamplerSpec = Annotated[DDIM | Ancestral | DPMSolver | Langevin | Consistency, Field(discriminator="kind")]
