"""Objectives: what a network is trained to minimise, and at which noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from restore.training.objective.classification import Classification
from restore.training.objective.continuous import ContinuousBound
from restore.training.objective.few_step import FewStep
from restore.training.objective.history import LossHistory
from restore.training.objective.hybrid import Hybrid, Variational
from restore.training.objective.levels import Antithetic, AtTheEnd, Continuous, Importance, LevelSampling, Uniform
from restore.training.objective.loss import Batch, LevelLoss, Loss, Objective, Setting
from restore.training.objective.recognition import Recognition
from restore.training.objective.simple import Simple
from restore.training.objective.weighting import P2, MinSNR, Unweighted, Weighting

__all__ = [
    "P2",
    "Antithetic",
    "AtTheEnd",
    "Batch",
    "Classification",
    "Continuous",
    "ContinuousBound",
    "FewStep",
    "Hybrid",
    "Importance",
    "LevelLoss",
    "LevelSampling",
    "Loss",
    "LossHistory",
    "MinSNR",
    "Objective",
    "ObjectiveSpec",
    "Recognition",
    "Setting",
    "Simple",
    "Uniform",
    "Unweighted",
    "Variational",
    "Weighting",
]


def _simple_by_default(document: Any) -> Any:
    return {"kind": "simple", **document} if isinstance(document, Mapping) else document


ObjectiveSpec = Annotated[
    Simple | Variational | Hybrid | FewStep | ContinuousBound | Classification | Recognition,
    Field(discriminator="kind"),
    BeforeValidator(_simple_by_default),
]
