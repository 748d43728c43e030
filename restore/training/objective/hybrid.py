"""The variational bound as an objective, alone and beside L_simple."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition, Estimate, Network
from restore.denoisers.parameterization import Answer, Problem
from restore.diffusion.likelihood import variational_bits
from restore.diffusion.variance import Variance
from restore.errors import ConfigError
from restore.schema import Spec
from restore.training.objective.levels import LevelSampling, Uniform
from restore.training.objective.simple import Norm, distance, draw_eps

__all__ = ["Hybrid", "Variational"]


def bound_bits(
    problem: Problem, answer: Answer, x0: Tensor, condition: Condition, variance: Variance, stop_mean: bool
) -> Tensor:
    """Return the (B,) term of the bound at each picture's level, in bits per dimension.

    Args:
        problem: what was asked.
        answer: what the network said.
        x0: (B, 3, H, W), the true pictures.
        condition: of them.
        variance: of the reverse step.
        stop_mean: whether the mean gets no gradient from it.

    Raises:
        ConfigError: a level lies between those of the schedule, where the bound has no term.
    """
    t, schedule = answer.level.t.cpu(), problem.schedule
    if not torch.equal(answer.level.alpha_bar.cpu(), schedule.alpha_bar[t]):
        raise ConfigError("the variational bound is defined at the schedule's levels only; choose other levels")
    estimate = problem.x0(answer, condition)
    estimate = estimate.detach() if stop_mean else estimate
    step = schedule.transitions().gather(schedule.T - t, x0)
    return variational_bits(Estimate(estimate, answer.fraction), x0, answer.x_t, step, variance)


class Variational(Spec):
    """L_vlb (improved DDPM, section 3.1): the whole bound, estimated at one level of each picture.

    Attributes:
        variance: of the reverse steps; `learned` needs a network with twice as many outputs.
        levels: where it is trained; `importance` is what the paper found necessary.
    """

    kind: Literal["vlb"] = "vlb"
    variance: Variance = "learned"
    levels: LevelSampling = Uniform()

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch, in bits per dimension; see `Simple`."""
        level, correction = self.levels.draw(len(x0), problem.schedule, generator, problem.history)
        answer = problem.ask(network, x0, condition, level, draw_eps(x0, generator))
        loss = bound_bits(problem, answer, x0, condition, self.variance, stop_mean=False) * problem.schedule.T
        self.levels.learn(level, loss, problem.schedule, problem.history)
        return (loss if correction is None else loss * correction).mean()


class Hybrid(Spec):
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

    def __call__(
        self, network: Network, problem: Problem, x0: Tensor, condition: Condition, generator: torch.Generator
    ) -> Tensor:
        """Return the scalar loss of a batch; see `Simple`."""
        level, correction = self.levels.draw(len(x0), problem.schedule, generator, problem.history)
        answer = problem.ask(network, x0, condition, level, draw_eps(x0, generator))
        bound = bound_bits(problem, answer, x0, condition, "learned", stop_mean=True)
        loss = distance(answer.output, answer.target, self.norm) + self.weight * problem.schedule.T * bound
        self.levels.learn(level, loss, problem.schedule, problem.history)
        return (loss if correction is None else loss * correction).mean()
