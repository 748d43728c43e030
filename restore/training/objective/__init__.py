"""Objectives: what a network is trained to minimise, and at which noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from restore.denoisers.history import LossHistory
from restore.denoisers.parameterization import Answer, Problem
from restore.training.objective.classification import Classification
from restore.training.objective.continuous import ContinuousBound
from restore.training.objective.few_step import FewStep
from restore.training.objective.hybrid import Hybrid, Variational
from restore.training.objective.levels import Antithetic, AtTheEnd, Continuous, Importance, LevelSampling, Uniform
from restore.training.objective.recognition import Recognition
from restore.training.objective.simple import Simple
from restore.training.objective.weighting import P2, MinSNR, Weighting

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
