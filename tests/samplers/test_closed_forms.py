"""Samplers on Gaussian data with the optimal denoiser: means, covariances and orders are known."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.guidance import ClassifierGuided
from restore.diffusion.schedule import Cosine, Linear, Schedule, ZeroTerminal
from restore.samplers import DDIM, Ancestral, Consistency, DPMSolver, Langevin, Sampler

BATCH = 5_000


def last(steps) -> Tensor:
    (step,) = deque(steps, maxlen=1)
    assert step.t == 0
    return step.x_t


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.flatten(1).mean(0), torch.cov(x.flatten(1).T)


def check(x: Tensor, mean: Tensor, covariance: Tensor, bias: float) -> None:
    """Compare moments; `bias` is the sampler's own error, the rest five standard errors of so many samples."""
    found_mean, found_covariance = moments(x)
    spread = covariance.diagonal().sqrt()
    error = 5 / len(x) ** 0.5
    assert bool(((found_mean - mean).abs() <= error * spread + bias).all())
    # the variance of a sampled covariance is C_ii C_jj + C_ij^2 over n
    allowed = error * (spread[:, None] * spread[None] * 2**0.5) + bias
    assert bool(((found_covariance - covariance).abs() <= allowed).all())


@pytest.mark.parametrize(
    ("sampler", "bias"),
    [
        (Ancestral(steps=None, variance="beta_tilde"), 0.015),
        (Ancestral(steps=None, variance="beta"), 0.015),
        (DDIM(steps=100), 0.015),
        (DDIM(steps=100, eta=0.5), 0.015),
        (DDIM(steps=100, eta=1.0), 0.015),
        (DPMSolver(steps=20, order=2), 0.01),
        (DPMSolver(steps=20, order=3), 0.01),
        (DPMSolver(steps=21, order=2, method="singlestep"), 0.01),
    ],
    ids=lambda value: (
        "-".join(map(str, value.model_dump(exclude_defaults=True).values())) or value.kind
        if isinstance(value, Sampler)
        else ""
    ),
)
def test_samples_have_the_mean_and_covariance_of_the_data(sampler: Sampler, bias: float, joint, fresh, blank) -> None:
    schedule = Cosine(steps=100).build()
    x = last(sampler(joint, blank(BATCH), schedule, fresh(1)))
    check(x, joint.mean, joint.covariance, bias)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_few_ancestral_steps_have_the_covariance_that_the_recursion_says(variance, joint, fresh, blank) -> None:
    """With few steps the samples are not the data's; what they are follows from the linear denoiser exactly."""
    schedule = Linear(steps=200).build()
    sampler = Ancestral(steps=6, variance=variance, spacing="leading")
    steps = schedule.transitions(sampler.levels(schedule))
    mean, covariance = torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    for i in range(6):
        step, a_t = steps.at(i), float(schedule.alpha_bar[steps.t[i]])
        gain = joint.gain(a_t)
        matrix = step.mean_x0 * gain + step.mean_xt * torch.eye(6, dtype=torch.float64)
        mean = matrix @ mean + step.mean_x0 * (joint.mean - gain @ (a_t**0.5 * joint.mean))
        covariance = matrix @ covariance @ matrix.T
        if step.u > 0:
            covariance = covariance + getattr(step, variance) * torch.eye(6, dtype=torch.float64)
    check(last(sampler(joint, blank(BATCH), schedule, fresh(2))), mean, covariance, 0.0)
    assert (covariance - joint.covariance).abs().max() > 0.02  # so few steps are not exact


def test_the_exact_learned_variance_makes_any_number_of_steps_exact(joint, fresh, blank) -> None:
    """For independent values the true reverse step is Gaussian, so that three steps draw from the data itself."""
    schedule, variance = Linear(steps=100, beta_start=1e-3, beta_end=0.2).build(), 0.3
    levels = schedule.steps(3, "linspace")
    steps = schedule.transitions(levels)
    a = schedule.alpha_bar[steps.t]
    exact = steps.beta_tilde + steps.mean_x0**2 * variance * (1 - a) / (a * variance + 1 - a)
    fraction = (exact.log() - steps.log_beta_tilde) / (steps.log_beta - steps.log_beta_tilde)

    def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        i, a_t = levels.index(int(level.t[0])), float(level.alpha_bar[0])
        gain = a_t**0.5 * variance / (a_t * variance + 1 - a_t)
        return Estimate(gain * x_t, torch.full_like(x_t, float(fraction[i])))

    x = last(Ancestral(steps=3, spacing="linspace", variance="learned")(denoiser, blank(BATCH), schedule, fresh(3)))
    # the last step takes E[x0 | x_1] and leaves out its variance, which level 1 makes small
    check(x, torch.zeros(6, dtype=torch.float64), variance * torch.eye(6, dtype=torch.float64), 0.002)


def solve_from(sampler: DPMSolver, joint, schedule: Schedule, x_t: Tensor, noise) -> Tensor:
    levels = sampler.levels(schedule)
    steps = list(sampler.solve(joint, Condition(x_t), schedule, x_t, levels, noise))
    assert levels[-2] == 1 and steps[-2].t == 1
    return steps[-2].x_t  # before the last jump, which is of order 1 and tiny


@pytest.mark.parametrize(
    ("order", "method", "expected"),
    [(1, "multistep", 1), (2, "multistep", 2), (3, "multistep", 3), (2, "singlestep", 2)],
)
def test_dpm_solver_converges_with_its_order(
    order: int, method: str, expected: int, joint, fresh, linear_in_log_snr
) -> None:
    schedule = linear_in_log_snr(321, 5.0, -5.0)
    x_t = fresh(4).draw(torch.zeros(64, 3, 1, 2, dtype=torch.float64))
    exact = joint.flow(x_t, float(schedule.alpha_bar[-1]), float(schedule.alpha_bar[1]))
    errors = []
    for steps in (41, 81, 161, 321):
        sampler = DPMSolver(steps=steps, order=order, method=method, spacing="linspace")
        errors.append(float((solve_from(sampler, joint, schedule, x_t, fresh(0)) - exact).square().mean().sqrt()))
    orders = torch.tensor(errors).log2().diff().neg()
    assert orders.min() >= expected - 0.2, (errors, orders)
    # order 3 gains another here, for its leading errors cancel where x0 no longer changes at both ends
    assert orders.max() <= expected + (0.5 if expected < 3 else 1.5), (errors, orders)


def test_the_published_third_order_is_of_second_order(joint, fresh, linear_in_log_snr) -> None:
    """Their last difference quotient has half the weight that Taylor's formula gives it."""
    schedule = linear_in_log_snr(321, 5.0, -5.0)
    x_t = fresh(4).draw(torch.zeros(64, 3, 1, 2, dtype=torch.float64))
    exact = joint.flow(x_t, float(schedule.alpha_bar[-1]), float(schedule.alpha_bar[1]))
    errors = {}
    for published in (False, True):
        for steps in (161, 321):
            sampler = DPMSolver(steps=steps, order=3, spacing="linspace", published=published)
            found = solve_from(sampler, joint, schedule, x_t, fresh(0))
            errors[published, steps] = float((found - exact).square().mean().sqrt())
    assert errors[False, 161] / errors[False, 321] > 2**2.8
    assert 2**1.8 < errors[True, 161] / errors[True, 321] < 2**2.2


def test_few_steps_of_a_higher_order_are_nearer(joint, fresh, blank) -> None:
    schedule, x_t = Cosine(steps=1000).build(), fresh(5).draw(torch.zeros(64, 3, 1, 2, dtype=torch.float64))
    exact = joint.flow(x_t, float(schedule.alpha_bar[-1]), 1.0)
    error = {}
    for order in (1, 2):
        sampler = DPMSolver(steps=12, order=order)
        steps = sampler.solve(joint, Condition(x_t), schedule, x_t, sampler.levels(schedule), fresh(0))
        error[order] = float((last(steps) - exact).abs().mean())
    assert error[2] < error[1] / 2


def langevin_recursion(joint, schedule: Schedule, sampler: Langevin) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance that the sampler ends with, for they follow from its linear steps exactly."""
    eye = torch.eye(6, dtype=torch.float64)
    mean, covariance = torch.zeros(6, dtype=torch.float64), eye
    for t in sampler.levels(schedule)[:-1]:
        a = float(schedule.alpha_bar[t])
        # the drift is -size s^2 / 2 times the precision of x_t
        pull = sampler.size * (1 - a) / 2 * torch.linalg.inv(joint.at(a))
        for _ in range(sampler.repeats):
            mean = mean - pull @ (mean - a**0.5 * joint.mean)
            covariance = (eye - pull) @ covariance @ (eye - pull).T + sampler.size * (1 - a) * eye
    gain = joint.gain(a)
    return joint.mean + gain @ (mean - a**0.5 * joint.mean), gain @ covariance @ gain.T


def test_annealed_langevin_reaches_the_covariance(joint, fresh, blank) -> None:
    schedule = Cosine(steps=100).build()
    few = Langevin(steps=20, repeats=2, size=0.3)
    mean, covariance = langevin_recursion(joint, schedule, few)
    check(last(few(joint, blank(BATCH), schedule, fresh(6))), mean, covariance, 0.0)
    # and what the recursion says of more and smaller steps is the data itself
    for sampler, bias in ((Langevin(steps=100, repeats=50, size=0.2), 0.02), (few, 0.3)):
        mean, covariance = langevin_recursion(joint, schedule, sampler)
        assert (mean - joint.mean).abs().max() < bias and (covariance - joint.covariance).abs().max() < bias


def test_langevin_at_one_level_reaches_its_covariance(joint, fresh, blank) -> None:
    """Unadjusted Langevin dynamics of a Gaussian with covariance S ends in S (1 - size s^2 / (4 S))^-1."""
    schedule = Schedule(torch.tensor([1.0, 0.5], dtype=torch.float64))
    sampler = Langevin(steps=1, repeats=30, size=0.4)
    *_, before, end = sampler(joint, blank(3000), schedule, fresh(6))
    target = joint.at(0.5)
    correction = torch.eye(6, dtype=torch.float64) - 0.4 * 0.5 / 4 * torch.linalg.inv(target)
    check(before.x_t, 0.5**0.5 * joint.mean, target @ torch.linalg.inv(correction), 1e-3)
    assert before.t == 1 and end.t == 0
    torch.testing.assert_close(end.x_t, joint(before.x_t, schedule.level(1, 3000), blank(1)).x0)


def test_consistency_sampling_with_the_exact_jump(joint, fresh, blank) -> None:
    """The consistency function of Gaussian data is the probability flow to the end; any number of steps is exact."""
    schedule = ZeroTerminal(base=Cosine(steps=50)).build()

    def jump(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(joint.flow(x_t, float(level.alpha_bar[0]), 1.0))

    for steps in (1, 2, 5):
        x = last(Consistency(steps=steps)(jump, blank(BATCH), schedule, fresh(steps)))
        check(x, joint.mean, joint.covariance, 1e-6)


@pytest.mark.parametrize("by", ["score", "mean"])
def test_classifier_guidance_samples_the_tilted_gaussian(by: str, joint, fresh, blank) -> None:
    """Told y = x0 + N(0, sigma^2), exact guidance draws from the posterior of x0."""
    schedule, sigma, asked = Cosine(steps=100).build(), 0.5, 0.4
    precision = torch.linalg.inv(joint.covariance) + torch.eye(6, dtype=torch.float64) / sigma**2
    covariance = torch.linalg.inv(precision)
    mean = covariance @ (torch.linalg.inv(joint.covariance) @ joint.mean + asked / sigma**2)

    def gradient(x_t: Tensor, level: Level, condition: Condition) -> Tensor:
        a = float(level.alpha_bar[0])
        gain = joint.gain(a)
        left = joint.covariance - a**0.5 * gain @ joint.covariance
        spread = torch.linalg.inv(left + sigma**2 * torch.eye(6, dtype=torch.float64))
        x0 = joint(x_t, level, condition).x0.flatten(1)
        return ((asked - x0) @ spread @ gain).reshape(x_t.shape)

    guided = ClassifierGuided(joint, gradient, by=by)  # type: ignore[arg-type]
    sampler = Ancestral(steps=None, variance="beta_tilde")
    check(last(sampler(guided, blank(BATCH), schedule, fresh(8))), mean, covariance, 0.02)
    assert (mean - joint.mean).abs().max() > 0.2
