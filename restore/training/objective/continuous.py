"""The variational bound in continuous time, which also trains a learned schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from restore.contracts import Level
from restore.diffusion.likelihood import discretised_log_likelihood, normal_kl, per_image
from restore.diffusion.parameterization import coefficients, shaped, to_eps
from restore.diffusion.schedule import Learned, LearnedSchedule
from restore.errors import ConfigError
from restore.models.card import AnyRecipe
from restore.models.recipe import Recipe
from restore.training.objective.loss import Batch, Loss, Objective, Setting

__all__ = ["ContinuousBound"]


class ContinuousBound(Objective):
    """The bound of variational diffusion models (Kingma et al. 2021, eq. 11), in bits per dimension.

    The diffusion term does not depend on the schedule between its ends, only the scatter of its estimate does
    (section 5.1). So the network and the two ends descend the bound, and the shape between them descends the estimate's
    second moment (appendix I.2).
    """

    learns_schedule: ClassVar[bool] = True
    known_pixels: ClassVar[bool] = False

    kind: Literal["continuous_bound"] = "continuous_bound"

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run.

        Raises:
            ConfigError: the schedule is a fixed table.
        """
        schedule = setting.known().schedule
        if not isinstance(schedule, LearnedSchedule):
            raise ConfigError("objective continuous_bound trains a learned schedule; choose schedule kind learned")
        return _ContinuousLoss(setting, schedule)


class _ContinuousLoss(Loss):
    def __init__(self, setting: Setting, schedule: LearnedSchedule) -> None:
        super().__init__(setting)
        self.schedule = schedule

    def __call__(self, batch: Batch) -> Tensor:
        module, parameterization, x0 = self.schedule.module, self.setting.of(batch), batch.x0
        # one draw, spread evenly over the batch: less scatter than independent times (appendix I.1)
        device = batch.generator.device
        first = torch.rand((), generator=batch.generator, device=device)
        time = batch.rows((first + torch.arange(batch.size, device=device) / batch.size) % 1)
        risen, slope = module.rise(time)
        span = module.log_range.exp()
        seen: list[Tensor] = []  # the terms, once they are known
        for value in (risen, slope):
            if value.requires_grad:
                value.register_hook(lambda gradient: gradient * 2 * seen[0])
        log_snr = (module.start - span * risen).double()
        eps = batch.eps()
        t = 1 + (time * (self.schedule.T - 1)).round().long()
        level = Level(t, log_snr.sigmoid())
        predicted = parameterization.predict(self.setting.network, x0, batch.condition, level, eps)
        estimate = parameterization.x0(predicted, batch.condition)
        error = to_eps(estimate, predicted.x_t, level.alpha_bar) - eps
        # the derivative of -log SNR in time is span * slope
        bound = 0.5 * span * slope * error.square().flatten(1).mean(1) / math.log(2)
        seen.append(bound.detach())
        return (bound + ends(module.start, module.end, x0, eps)).mean()

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network of the schedule."""
        return {"schedule": self.schedule.module}

    def trained(self, recipe: AnyRecipe) -> AnyRecipe:
        """Return the recipe with the table that the schedule has come to."""
        if not isinstance(recipe, Recipe) or not isinstance(recipe.schedule, Learned):
            return recipe
        return recipe.model_copy(update={"schedule": recipe.schedule.trained(self.schedule.refreshed())})


def ends(start: Tensor, end: Tensor, x0: Tensor, eps: Tensor) -> Tensor:
    """Return (B,) what the two ends of a schedule cost: L_T and L_0 (eq. 12 to 14)."""
    a, s = coefficients(end.double().sigmoid()[None], x0)
    zero = x0.new_zeros(())
    prior = per_image(normal_kl(a * x0, 2 * s.log(), zero, zero))
    log_scale = shaped((-start / 2)[None], x0)
    mean = x0 + log_scale.exp() * eps
    return prior + per_image(-discretised_log_likelihood(x0, mean, log_scale.expand_as(x0)))
