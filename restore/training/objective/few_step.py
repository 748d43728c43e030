"""The few-step objective: the loss of what a short sampler arrives at."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Network
from restore.denoisers.parameterization import Problem
from restore.diffusion.schedule import Spacing
from restore.diffusion.update import ddim_update
from restore.schema import Spec
from restore.training.objective.simple import Norm, distance, draw_eps

__all__ = ["FewStep"]


class FewStep(Spec):
    """The error of the picture at the end of a short deterministic sampler, back-propagated through all its steps.

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

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch; see `Simple`."""
        schedule, denoiser = problem.schedule, problem.denoiser(network, x0.dtype)
        levels = schedule.steps(self.steps, self.spacing)
        x_t, losses = draw_eps(x0, generator), []
        for t, u in pairwise(levels):
            estimate = denoiser(x_t, schedule.level(t, len(x0), x0.device), condition).x0
            losses.append(distance(estimate, x0, self.norm).mean())
            if u > 0:
                x_t = ddim_update(x_t, estimate, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[u]))
        *way, last = losses
        return last if not way else (1 - self.share) * last + self.share * torch.stack(way).mean()
