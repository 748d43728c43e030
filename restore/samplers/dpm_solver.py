"""DPM-Solver++: the diffusion ODE in terms of x0, in few steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.schedule import Schedule
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step, x0_of

__all__ = ["DPMSolver", "multistep_update", "singlestep_update"]

LARGEST_LAMBDA = 300.0  # a lambda of the clean image whose exponential a float still holds


def multistep_update(
    x_t: Tensor, estimates: Sequence[Tensor], lambdas: Sequence[float], lambda_u: float, published: bool = False
) -> Tensor:
    """Return x_u, (B, C, H, W), by the multistep solver whose order is the number of estimates.

    x_u = s_u / s_t x_t + a_u (integral of exp(-(h - tau)) x0(tau) over tau in [0, h]), with lambda = log(a / s), h the
    step in lambda and x0 interpolated from its estimates (DPM-Solver++, eq. 14). Order 1 is DDIM, order 2 is
    DPM-Solver++(2M), algorithm 2.

    Args:
        x_t: (B, C, H, W), at the level of the first estimate.
        estimates: of x0, each (B, C, H, W), the newest first.
        lambdas: log(a / s) at the level of each; -inf where there is noise alone.
        lambda_u: of the level that is reached; inf for the clean image, which order 1 alone can reach.
        published: give the third-order term half its weight, as the published code does; it is then of order 2.
    """
    a_u = (1 + math.exp(-2 * lambda_u)) ** -0.5
    # s_u / s_t, with s^2 = 1 / (1 + exp(2 lambda)); both ends stay finite
    s_ratio = ((1 + math.exp(2 * lambdas[0])) / (1 + math.exp(2 * min(lambda_u, LARGEST_LAMBDA)))) ** 0.5
    x_u = x_t * s_ratio
    for estimate, weight in zip(estimates, _weights(lambdas, lambda_u, published), strict=False):
        x_u.add_(estimate, alpha=a_u * weight)
    return x_u


def _weights(lambdas: Sequence[float], lambda_u: float, published: bool) -> list[float]:
    """Return by how much each estimate counts; those at noise alone, infinitely far away, do not."""
    h = lambda_u - lambdas[0]
    fall = -math.expm1(-h)
    finite = [at for at in lambdas if math.isfinite(at)]
    if len(finite) < 2:
        return [fall]
    r0 = (finite[0] - finite[1]) / h
    slope = fall / 2 if len(finite) == 2 else 1 - fall / h
    new, old = fall + slope / r0, -slope / r0
    if len(finite) == 2:
        return [new, old]
    r1 = (finite[1] - finite[2]) / h
    # what the parabola through three estimates adds to the line through two, integrated
    bend = (slope * r0 + (1 if published else 2) * (0.5 - slope / h)) / (r0 + r1)
    return [new + bend / r0, old - bend / r0 - bend / r1, bend / r1]


def singlestep_update(x_t: Tensor, x0_t: Tensor, x0_s: Tensor, lambdas: tuple[float, float], lambda_u: float) -> Tensor:
    """Return x_u, (B, C, H, W), by DPM-Solver++(2S), algorithm 1.

    Args:
        x_t: (B, C, H, W), where the step of order 2 begins.
        x0_t: the estimate at x_t.
        x0_s: the estimate at the level s between t and u, at the x_s that a step of order 1 leads to.
        lambdas: log(a / s) at t and at s.
        lambda_u: of the level that is reached; finite.
    """
    if math.isinf(lambdas[0]):
        return multistep_update(x_t, [x0_s], [lambdas[0]], lambda_u)
    h = lambda_u - lambdas[0]
    r = (lambdas[1] - lambdas[0]) / h
    a_u, fall = (1 + math.exp(-2 * lambda_u)) ** -0.5, -math.expm1(-h)
    x_u = multistep_update(x_t, [x0_t], [lambdas[0]], lambda_u)
    return x_u.add_(x0_s, alpha=a_u * fall / (2 * r)).add_(x0_t, alpha=-a_u * fall / (2 * r))


class DPMSolver(Sampler):
    """DPM-Solver++ (Lu et al. 2022), deterministic.

    The first steps are of the order that the estimates so far allow, the last one, to the clean image, of order 1.

    Attributes:
        order: 1 (DDIM), 2 or 3.
        method: `multistep` re-uses the estimates of earlier steps; `singlestep` (order 2) takes every other level as
            a point between. Both evaluate the denoiser once for each level.
        published: see `multistep_update`.
    """

    kind: Literal["dpm_solver"] = "dpm_solver"
    steps: int | None = Field(10, ge=1, le=100_000)
    order: Literal[1, 2, 3] = 2
    method: Literal["multistep", "singlestep"] = "multistep"
    published: bool = False

    @model_validator(mode="after")
    def _check(self) -> DPMSolver:
        if self.method == "singlestep" and self.order != 2:
            raise ValueError(f"the singlestep method is of order 2, not {self.order}; choose order 2 or multistep")
        return self

    def solve(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        x_t: Tensor,
        levels: Sequence[int],
        noise: Noise,
    ) -> Iterator[Step]:
        """Yield a `Step` after each step from x_t through the levels; see `Sampler`."""
        lambdas = [schedule.log_snr(t) / 2 for t in levels]
        x_pair: Tensor | None = None  # where the present pair of levels began
        estimates: list[Tensor] = []  # the newest first
        for i, t in enumerate(levels[:-1]):
            x0 = x0_of(denoiser(x_t, schedule.level(t, len(x_t), x_t.device), condition))
            if levels[i + 1] == 0:
                yield Step(0, x0, x0)
                return
            estimates = [x0, *estimates[: self.order - 1]]
            known, to = lambdas[i::-1], lambdas[i + 1]
            if x_pair is not None:
                x_t, x_pair = singlestep_update(x_pair, estimates[1], x0, (known[1], known[0]), to), None
            elif self.method == "singlestep":
                # an odd step is taken alone, at the noisy end, where x0 hardly depends on the level
                x_pair = None if i == 0 and len(levels) % 2 else x_t
                x_t = multistep_update(x_t, [x0], known[:1], to)
            else:
                x_t = multistep_update(x_t, estimates, known[: len(estimates)], to, self.published)
            yield Step(levels[i + 1], x_t, x0)
            del x0
