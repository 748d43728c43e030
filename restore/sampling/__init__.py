"""Samplers: numerical methods that know a denoiser, a schedule and a source of noise, and nothing else."""

from __future__ import annotations

from restore.sampling.ddim import DDIM, Step
from restore.sampling.noise import Noise, RecordedNoise, SeededNoise

__all__ = ["DDIM", "Noise", "RecordedNoise", "SamplerSpec", "SeededNoise", "Step"]

SamplerSpec = DDIM
