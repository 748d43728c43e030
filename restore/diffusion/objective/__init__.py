"""Objectives: what a network is trained to minimise, and at which noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from restore.diffusion.objective.classification import Classification
from restore.diffusion.objective.continuous import ContinuousBound
from restore.diffusion.objective.few_step import FewStep
from restore.diffusion.objective.history import LossHistory
from restore.diffusion.objective.hybrid import Hybrid, Variational
from restore.diffusion.objective.levels import Antithetic, AtTheEnd, Continuous, Importance, LevelSampling, Uniform
from restore.diffusion.objective.problem import Answer, Problem
from restore.diffusion.objective.recognition import Recognition
from restore.diffusion.objective.simple import Simple
from restore.diffusion.objective.weighting import P2, MinSNR, Weighting

__all__ = [
    "P2",
    "Answer",
    "Antithetic",
    "AtTheEnd",
    "Classification",
    "Continuous",
    "ContinuousBound",
    "FewStep",
    "Hybrid",
    "Importance",
    "LevelSampling",
    "LossHistory",
    "MinSNR",
    "Objective",
    "Problem",
    "Recognition",
    "Simple",
    "Uniform",
    "Variational",
    "Weighting",
]


def _simple_by_default(document: Any) -> Any:
    return {"kind": "simple", **document} if isinstance(document, Mapping) else document


Objective = Annotated[
    Simple | Variational | Hybrid | FewStep | ContinuousBound | Classification | Recognition,
    Field(discriminator="kind"),
    BeforeValidator(_simple_by_default),
]
