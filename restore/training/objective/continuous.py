"""The variational bound in continuous time, which also trains a learned schedule."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.parameterization import Problem
from restore.diffusion.likelihood import discretised_log_likelihood, normal_kl, per_picture
from restore.diffusion.parameterization import coefficients, shaped, to_eps
from restore.diffusion.schedule import LearnedSchedule
from restore.errors import ConfigError
from restore.schema import Spec
from restore.training.objective.simple import draw_eps

__all__ = ["ContinuousBound"]


class ContinuousBound(Spec):
    """The bound of variational diffusion models (Kingma et al. 2021, eq. 11), in bits per dimension.

    The diffusion term does not depend on the schedule between its ends, only the scatter of its estimate does
    (section 5.1). So the network and the two ends descend the bound, and the shape between them descends the estimate's
    second moment (appendix I.2).
    """

    kind: Literal["continuous_bound"] = "continuous_bound"

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch; see `Simple`.

        Raises:
            ConfigError: the schedule is a fixed table.
        """
        if not isinstance(problem.schedule, LearnedSchedule):
            raise ConfigError("objective continuous_bound trains a learned schedule; choose schedule kind learned")
        module, batch = problem.schedule.module, len(x0)
        # one draw, spread evenly over the batch: less scatter than independent times (appendix I.1)
        first = torch.rand((), generator=generator, device=generator.device)
        time = (first + torch.arange(batch, device=generator.device) / batch) % 1
        risen, slope = module.rise(time)
        span = module.log_range.exp()
        seen: list[Tensor] = []  # the terms, once they are known
        for value in (risen, slope):
            if value.requires_grad:
                value.register_hook(lambda gradient: gradient * 2 * seen[0])
        log_snr = (module.start - span * risen).double()
        eps = draw_eps(x0, generator)
        t = 1 + (time * (problem.schedule.T - 1)).round().long()
        level = Level(t, log_snr.sigmoid())
        answer = problem.ask(network, x0, condition, level, eps)
        said = to_eps(problem.x0(answer, condition), answer.x_t, level.alpha_bar)
        # the derivative of -log SNR in time is span * slope
        bound = 0.5 * span * slope * (said - eps).square().flatten(1).mean(1) / math.log(2)
        seen.append(bound.detach())
        return (bound + self.ends(module.start, module.end, x0, eps)).mean()

    def ends(self, start: Tensor, end: Tensor, x0: Tensor, eps: Tensor) -> Tensor:
        """Return (B,) what the two ends cost: L_T and L_0 (eq. 12 to 14)."""
        a, s = coefficients(end.double().sigmoid()[None], x0)
        zero = x0.new_zeros(())
        prior = per_picture(normal_kl(a * x0, 2 * s.log(), zero, zero))
        log_scale = shaped((-start / 2)[None], x0)
        mean = x0 + log_scale.exp() * eps
        return prior + per_picture(-discretised_log_likelihood(x0, mean, log_scale.expand_as(x0)))
