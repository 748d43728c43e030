"""The few-step objective: the loss of what a short sampler arrives at."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.diffusion.schedule import Spacing
from restore.diffusion.update import ddim_update
from restore.training.objective.loss import Batch, Loss, Objective, Setting
from restore.training.objective.simple import Norm, distance

__all__ = ["FewStep"]


class FewStep(Objective):
    """The error of the image at the end of a short deterministic sampler, back-propagated through all its steps.

    Trains a network for the very steps that it will be sampled with (T3-DiffWeather, Chen et al. 2024): it sees its
    own x_t, with its own errors in it, and not the true one. The memory is that of `steps` networks.

    Attributes:
        steps: of the sampler (DDIM).
        spacing: which levels it visits.
        norm: of the error of x0.
        share: how much the estimates on the way count, each by as much; the last one counts by the rest.
    """

    kind: Literal["few_step"] = "few_step"
    steps: int = Field(4, ge=1, le=64)
    spacing: Spacing = "trailing"
    norm: Norm = "l1"
    share: float = Field(0.0, ge=0, lt=1)

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run."""
        return _FewStepLoss(setting, self)


class _FewStepLoss(Loss):
    def __init__(self, setting: Setting, objective: FewStep) -> None:
        super().__init__(setting)
        self.objective = objective

    def __call__(self, batch: Batch) -> Tensor:
        parameterization, objective, x0 = self.setting.of(batch), self.objective, batch.x0
        schedule, denoiser = parameterization.schedule, parameterization.denoiser(self.setting.network, x0.dtype)
        levels = schedule.steps(objective.steps, objective.spacing)
        x_t, losses = batch.eps(), []
        for t, u in pairwise(levels):
            estimate = denoiser(x_t, schedule.level(t, len(x0), x0.device), batch.condition).x0
            losses.append(distance(estimate, x0, objective.norm).mean())
            if u > 0:
                x_t = ddim_update(x_t, estimate, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[u]))
        *way, last = losses
        return last if not way else (1 - objective.share) * last + objective.share * torch.stack(way).mean()
