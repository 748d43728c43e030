"""The variational bound as an objective, alone and beside L_simple."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.parameterization import Parameterization, Prediction
from restore.diffusion.likelihood import variational_bits
from restore.diffusion.variance import Variance
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.loss import Batch, LevelLoss, Loss, Objective, Setting
from restore.training.objective.simple import Norm, distance

__all__ = ["Hybrid", "Variational"]


def bound_bits(
    parameterization: Parameterization,
    predicted: Prediction,
    x0: Tensor,
    condition: Condition,
    variance: Variance,
    stop_mean: bool,
) -> Tensor:
    """Return the (B,) term of the bound at each image's level, in bits per dimension.

    Args:
        parameterization: how the network was called.
        predicted: by it, at levels of the schedule: between them the bound has no term.
        x0: (B, 3, H, W), the true images.
        condition: of them.
        variance: of the reverse step.
        stop_mean: whether the mean gets no gradient from it.
    """
    schedule = parameterization.schedule
    estimate = parameterization.x0(predicted, condition)
    estimate = estimate.detach() if stop_mean else estimate
    step = schedule.every_step(x0.device).gather(schedule.T - predicted.level.t, x0)
    return variational_bits(Estimate(estimate, predicted.fraction), x0, predicted.x_t, step, variance)


class _Bounded(Objective):
    """Base of objectives with a term of the variational bound at each level.

    Attributes:
        levels: where it is trained.
    """

    levels: LevelSampling = Uniform()

    @field_validator("levels")
    @classmethod
    def _on_the_table(cls, levels: Any) -> Any:
        if levels.between:
            raise ValueError("the variational bound is defined at the schedule's levels only; choose other levels")
        return levels


class Variational(_Bounded):
    """L_vlb (improved DDPM, section 3.1): the whole bound, estimated at one level of each image, in bits per dimension.

    Attributes:
        variance: of the reverse steps; `learned` needs a network with twice as many outputs.
        levels: where it is trained; `importance` is what the paper found necessary.
    """

    kind: Literal["vlb"] = "vlb"
    variance: Variance = "learned"
    levels: LevelSampling = Uniform()

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run."""
        return _VariationalLoss(setting, self)


class _VariationalLoss(LevelLoss):
    def __init__(self, setting: Setting, objective: Variational) -> None:
        super().__init__(setting, objective.levels)
        self.objective = objective

    def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
        x0, condition = batch.x0, batch.condition
        predicted = parameterization.predict(self.setting.network, x0, condition, level, batch.eps())
        variance, T = self.objective.variance, parameterization.schedule.T
        return bound_bits(parameterization, predicted, x0, condition, variance, stop_mean=False) * T


class Hybrid(_Bounded):
    """L_hybrid = L_simple + weight L_vlb (improved DDPM, eq. 16); the bound teaches the variance alone.

    Attributes:
        weight: of the bound, lambda in the paper.
        norm: of the error of L_simple.
        levels: where both are trained.
    """

    kind: Literal["hybrid"] = "hybrid"
    weight: float = Field(0.001, ge=0)
    norm: Norm = "mse"
    levels: LevelSampling = Uniform()

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run."""
        return _HybridLoss(setting, self)


class _HybridLoss(LevelLoss):
    def __init__(self, setting: Setting, objective: Hybrid) -> None:
        super().__init__(setting, objective.levels)
        self.objective = objective

    def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
        x0, condition = batch.x0, batch.condition
        predicted = parameterization.predict(self.setting.network, x0, condition, level, batch.eps())
        bound = bound_bits(parameterization, predicted, x0, condition, "learned", stop_mean=True)
        weight = self.objective.weight * parameterization.schedule.T
        return distance(predicted.output, predicted.target, self.objective.norm) + weight * bound
