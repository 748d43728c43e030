from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.contracts import Condition
from restore.denoisers.parameterization import Problem
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import Cosine, Linear, ZeroTerminal
from restore.errors import ConfigError
from restore.schema import parse
from restore.training.objective import (
    P2,
    Classification,
    FewStep,
    Hybrid,
    Importance,
    MinSNR,
    Objective,
    Recognition,
    Simple,
    Uniform,
    Variational,
)
from restore.training.objective.simple import distance, draw_eps

SCHEDULE = Cosine(steps=30).build()
PREDICTIONS = ["eps", "x0", "v", "residual"]


class Small(nn.Module):
    """A network of one convolution, told everything; with `outputs` 6 it learns a variance."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(7, outputs, 3, padding=1)

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        level = value[:, None, None, None].expand(-1, 1, *x_t.shape[2:])
        return self.conv(torch.cat([x_t, condition.image, level], dim=1))


def batch(n: int = 6) -> tuple[Tensor, Condition]:
    generator = torch.Generator().manual_seed(2)
    x0, image = (torch.rand(n, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    return x0, Condition(image, torch.arange(n) % 3)


def seeded(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("norm", ["l1", "mse"])
def test_simple_is_the_mean_error_of_the_prediction(prediction, norm: str) -> None:
    problem, (x0, condition), network = Problem(SCHEDULE, prediction, "alpha_bar"), batch(), Small()
    found = Simple(norm=norm)(network, problem, x0, condition, seeded())
    generator = seeded()
    level = Uniform()(len(x0), SCHEDULE, generator)
    eps = draw_eps(x0, generator)
    a, s = (root.float().reshape(-1, 1, 1, 1) for root in (level.alpha_bar.sqrt(), (1 - level.alpha_bar).sqrt()))
    target = {"eps": eps, "x0": x0, "v": a * eps - s * x0, "residual": x0 - condition.image}[prediction]
    output = network(a * x0 + s * eps, level.alpha_bar.float(), condition)
    torch.testing.assert_close(found, (F.l1_loss if norm == "l1" else F.mse_loss)(output, target))


@pytest.mark.parametrize("weighting", [MinSNR(gamma=5), MinSNR(gamma=0.5), P2(k=1, gamma=0.5)])
@pytest.mark.parametrize("schedule", [SCHEDULE, ZeroTerminal(base=Linear(steps=30)).build()], ids=["cosine", "zero"])
def test_weights_mean_the_same_for_every_prediction(weighting, schedule) -> None:
    """In terms of the squared error of x0 the weight is one function of the level."""
    level = schedule.level(torch.arange(1, 31))
    snr = level.alpha_bar / (1 - level.alpha_bar)
    in_x0 = {}
    for prediction in [*PREDICTIONS, "posterior_mean"]:
        problem = Problem(schedule, prediction, "t")  # type: ignore[arg-type]
        in_x0[prediction] = weighting(problem, level).double() * problem.error_ratio(level)
        assert bool(weighting(problem, level).isfinite().all())
    expected = snr.clamp(max=weighting.gamma) if isinstance(weighting, MinSNR) else snr * (1 + snr) ** -0.5
    for prediction, found in in_x0.items():
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9, msg=lambda m, p=prediction: f"{p}: {m}")


def test_the_error_ratio_is_that_of_the_errors() -> None:
    x0, condition = batch(4)
    wrong = x0 + 0.1
    level = SCHEDULE.level(torch.tensor([1, 9, 20, 29]))
    for prediction in ["eps", "v", "posterior_mean", "residual"]:
        problem = Problem(SCHEDULE, prediction, "t")  # type: ignore[arg-type]
        x0_64 = x0.double()
        eps = draw_eps(x0_64, seeded())

        def silent(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
            return torch.zeros_like(x_t)

        true = problem.ask(silent, x0_64, condition, level, eps)
        # the same x_t read as another x0 with another noise
        a, s = (r.reshape(-1, 1, 1, 1) for r in (level.alpha_bar.sqrt(), (1 - level.alpha_bar).sqrt()))
        other_eps = (true.x_t - a * wrong.double()) / s
        other = problem.ask(silent, wrong.double(), condition, level, other_eps)
        error = (true.target - other.target).square().flatten(1).mean(1) / 0.01
        torch.testing.assert_close(error, problem.error_ratio(level), rtol=1e-5, atol=1e-9)


def test_l1_takes_the_root_of_the_weight() -> None:
    problem, (x0, condition) = Problem(SCHEDULE, "v", "t"), batch()
    level = SCHEDULE.level(torch.tensor([3, 17]))
    simple = Simple(norm="l1", weighting=MinSNR())
    torch.testing.assert_close(simple.weight(problem, level) ** 2, Simple(weighting=MinSNR()).weight(problem, level))
    assert simple(Small(), problem, x0, condition, seeded()).isfinite()


def test_the_bound_teaches_the_variance_alone_in_the_hybrid() -> None:
    problem, (x0, condition), network = Problem(SCHEDULE, "eps", "alpha_bar"), batch(), Small(outputs=6)
    gradients = {}
    for name, objective in (("simple", Hybrid(weight=0)), ("hybrid", Hybrid(weight=0.5)), ("vlb", Variational())):
        network.zero_grad()
        objective(network, problem, x0, condition, seeded()).backward()
        gradients[name] = network.conv.weight.grad.clone()
    torch.testing.assert_close(gradients["hybrid"][:3], gradients["simple"][:3])
    assert gradients["simple"][3:].abs().max() == 0 and gradients["hybrid"][3:].abs().max() > 0
    assert (gradients["vlb"][:3]).abs().max() > 0


def test_training_the_bound_finds_the_variance(independent) -> None:
    """For Gaussian data the best variance is known; its fraction is what the objective's minimum has."""
    data, schedule = independent(0.0, 0.3), Linear(steps=8, beta_start=0.02, beta_end=0.5).build()
    said = nn.Parameter(torch.zeros(8, dtype=torch.float64))

    def network(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        level = schedule.level(value.long() + 1)
        x0 = data(x_t, level, condition).x0
        a, s = (r.reshape(-1, 1, 1, 1) for r in (level.alpha_bar.sqrt(), (1 - level.alpha_bar).sqrt()))
        fraction = said[value.long()].reshape(-1, 1, 1, 1).expand_as(x_t)
        return torch.cat([(x_t - a * x0) / s, fraction], dim=1)

    generator = seeded()
    optimizer = torch.optim.Adam([said], lr=0.1)
    problem = Problem(schedule, "eps", "t")
    for _ in range(140):
        x0 = data.draw((96, 3, 4, 4), generator)
        optimizer.zero_grad()
        Hybrid(weight=1.0)(network, problem, x0, Condition(x0), generator).backward()
        optimizer.step()
    steps = schedule.transitions()
    exact = (steps.beta_tilde + steps.mean_x0**2 * data.mmse(schedule.alpha_bar[steps.t])).log()
    expected = ((exact - steps.log_beta_tilde) / (steps.log_beta - steps.log_beta_tilde)).flip(0)
    # level 1 is left out: there the bins of 8 bits count
    torch.testing.assert_close(((said + 1) / 2).detach()[1:], expected[1:], rtol=0, atol=0.08)


def test_few_steps_are_the_sampler_s_own(independent) -> None:
    """The loss is that of DDIM's result, and its gradient goes through all steps."""
    from restore.samplers import DDIM, RecordedNoise

    problem, (x0, condition), network = Problem(SCHEDULE, "residual", "alpha_bar"), batch(2), Small()
    for objective in (FewStep(steps=3), FewStep(steps=3, share=0.4, norm="mse")):
        found = objective(network, problem, x0, condition, seeded())
        noise = RecordedNoise([draw_eps(x0, seeded())])
        steps = list(DDIM(steps=3)(problem.denoiser(network), condition, SCHEDULE, noise))
        loss = F.l1_loss if objective.norm == "l1" else F.mse_loss
        *way, last = [loss(step.x0, x0) for step in steps]
        torch.testing.assert_close(found, (1 - objective.share) * last + objective.share * sum(way) / 2)
    weight = network.conv.weight
    (whole,) = torch.autograd.grad(FewStep(steps=3)(network, problem, x0, condition, seeded()), weight)
    with torch.no_grad():
        before = steps[1].x_t.detach()
    level = SCHEDULE.level(SCHEDULE.steps(3)[2], 2)
    (one,) = torch.autograd.grad(F.l1_loss(problem.denoiser(network)(before, level, condition).x0, x0), weight)
    assert (whole - one).abs().max() > 1e-6


def test_few_step_training_lowers_the_error_of_those_steps() -> None:
    problem, (x0, condition), network = Problem(SCHEDULE, "residual", "alpha_bar"), batch(), Small()
    optimizer, objective = torch.optim.Adam(network.parameters(), lr=0.02), FewStep(steps=2)
    first = objective(network, problem, x0, condition, seeded()).item()
    for _ in range(60):
        optimizer.zero_grad()
        objective(network, problem, x0, condition, seeded()).backward()
        optimizer.step()
    assert objective(network, problem, x0, condition, seeded()).item() < 0.8 * first


def test_a_classifier_learns_labels_of_noised_pictures() -> None:
    x0, _ = batch(48)
    label = torch.arange(48) % 2
    condition = Condition(label.float().reshape(-1, 1, 1, 1).expand_as(x0) - 0.5, label)
    problem, weight = Problem(SCHEDULE, "x0", "t"), nn.Parameter(torch.zeros(()))
    seen = []

    def network(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        seen.append(x_t)
        score = weight * x_t.flatten(1).mean(1)
        return torch.stack([-score, score], dim=1)

    objective = Classification()
    loss = objective(network, problem, x0, condition, seeded())
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert weight.grad < 0  # brighter pictures are of label 1
    generator = seeded()
    level = Uniform()(48, SCHEDULE, generator)
    torch.testing.assert_close(seen[0], noised(condition.image, draw_eps(x0, generator), level.alpha_bar))
    with pytest.raises(ConfigError, match="have none"):
        objective(network, problem, x0, condition.replaced(label=None), seeded())


@pytest.mark.parametrize(
    "objective", [Simple(levels=Importance()), Hybrid(levels=Importance()), Variational(levels=Importance())]
)
def test_objectives_tell_importance_sampling_their_losses(objective) -> None:
    problem, (x0, condition) = Problem(SCHEDULE, "eps", "alpha_bar"), batch()
    network = Small(outputs=3 if isinstance(objective, Simple) else 6)
    objective(network, problem, x0, condition, seeded())
    assert problem.history.counts.sum() == len(x0)
    assert Problem(SCHEDULE, "eps", "t").history.counts is None  # each problem has its own


def test_the_bound_needs_the_schedule_s_levels() -> None:
    problem, (x0, condition) = Problem(SCHEDULE, "eps", "alpha_bar"), batch()
    objective = parse(Objective, {"kind": "hybrid", "levels": {"kind": "continuous"}}, "objective")
    with pytest.raises(ConfigError, match="at the schedule's levels only"):
        objective(Small(outputs=6), problem, x0, condition, seeded())
    with pytest.raises(ConfigError, match="has not learned a variance"):
        Hybrid()(Small(), problem, x0, condition, seeded())


def test_an_objective_without_a_kind_is_simple() -> None:
    found = parse(Objective, {"norm": "l1", "levels": {"kind": "at_the_end", "share": 0.7}}, "objective")
    assert isinstance(found, Simple) and found.norm == "l1"
    assert parse(Objective, found.model_dump(mode="json"), "objective") == found
    with pytest.raises(ConfigError, match=r"'nce'.*'simple', 'vlb', 'hybrid', 'few_step'"):
        parse(Objective, {"kind": "nce"}, "objective")


def test_the_logarithm_counts_pictures_alike() -> None:
    """Halving the squared error of any one picture gains the same."""
    target = torch.zeros(2, 3, 8, 8)
    output = torch.tensor([0.5, 0.1]).reshape(2, 1, 1, 1).expand_as(target)
    before, after = (distance(x, target, "log_mse") for x in (output, output / 2**0.5))
    torch.testing.assert_close(before - after, torch.full((2,), math.log(2)), rtol=0, atol=0.012)
    assert distance(target, target, "log_mse").isfinite().all()


class Judge(nn.Module):
    """Logits that are the mean and the highest of the pictures; it remembers how large they were."""

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen = pictures
        return torch.stack([pictures.mean((1, 2, 3)), pictures.amax((1, 2, 3)), pictures.amin((1, 2, 3))], dim=1)


def test_a_detector_is_shown_pictures_made_smaller() -> None:
    x0, condition = batch()
    problem, judge = Problem(SCHEDULE, "x0", "t"), Judge()
    plain = Recognition()(judge, problem, x0, condition, seeded())
    assert judge.seen is condition.image
    assert plain == pytest.approx(F.cross_entropy(judge(condition.image), condition.label, label_smoothing=0.05).item())
    Recognition(reduce=(0.5, 0.5))(judge, problem, x0, condition, seeded())
    assert torch.allclose(judge.seen, F.avg_pool2d(condition.image, 2))
    sides = set()
    for seed in range(40):
        Recognition(reduce=(0.25, 1.0))(judge, problem, x0, condition, seeded(seed))
        sides.add(judge.seen.shape[-1])
    assert sides == set(range(2, 9))
    Recognition(reduce=(0.01, 0.01))(judge, problem, x0, condition, seeded())
    assert judge.seen.shape[-2:] == (1, 1)


@pytest.mark.parametrize("reduce", [(0.0, 1.0), (0.9, 0.5), (0.5, 1.5)])
def test_factors_that_reduce_nothing_are_refused(reduce: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="reduce: two factors in ascending order"):
        parse(Recognition, {"reduce": reduce}, "objective")
