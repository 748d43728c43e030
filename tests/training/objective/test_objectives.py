from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.contracts import Condition, Level
from restore.denoisers.parameterization import Parameterization
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import Cosine, Linear, ZeroTerminal
from restore.errors import ConfigError
from restore.schema import parse
from restore.training.objective import (
    P2,
    Antithetic,
    Batch,
    Classification,
    Continuous,
    FewStep,
    Hybrid,
    Importance,
    LevelLoss,
    Loss,
    MinSNR,
    Objective,
    ObjectiveSpec,
    Recognition,
    Setting,
    Simple,
    Uniform,
    Variational,
)
from restore.training.objective.simple import distance

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


def noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def value(
    objective: Objective,
    network: Any,
    parameterization: Parameterization,
    x0: Tensor,
    condition: Condition,
    generator: torch.Generator,
) -> Tensor:
    return objective.build(Setting(network, parameterization))(Batch(x0, condition, generator))


def seeded(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("norm", ["l1", "mse"])
def test_simple_is_the_mean_error_of_the_prediction(prediction, norm: str) -> None:
    parameterization, (x0, condition), network = Parameterization(SCHEDULE, prediction, "alpha_bar"), batch(), Small()
    found = value(Simple(norm=norm), network, parameterization, x0, condition, seeded())
    generator = seeded()
    level = Uniform()(len(x0), SCHEDULE, generator)
    eps = noise(x0, generator)
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
        parameterization = Parameterization(schedule, prediction, "t")  # type: ignore[arg-type]
        in_x0[prediction] = weighting(parameterization, level).double() * parameterization.error_ratio(level)
        assert bool(weighting(parameterization, level).isfinite().all())
    expected = snr.clamp(max=weighting.gamma) if isinstance(weighting, MinSNR) else snr * (1 + snr) ** -0.5
    for prediction, found in in_x0.items():
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9, msg=lambda m, p=prediction: f"{p}: {m}")


def test_the_error_ratio_is_that_of_the_errors() -> None:
    x0, condition = batch(4)
    wrong = x0 + 0.1
    level = SCHEDULE.level(torch.tensor([1, 9, 20, 29]))
    for prediction in ["eps", "v", "posterior_mean", "residual"]:
        parameterization = Parameterization(SCHEDULE, prediction, "t")  # type: ignore[arg-type]
        x0_64 = x0.double()
        eps = noise(x0_64, seeded())

        def silent(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
            return torch.zeros_like(x_t)

        true = parameterization.predict(silent, x0_64, condition, level, eps)
        # the same x_t read as another x0 with another noise
        a, s = (r.reshape(-1, 1, 1, 1) for r in (level.alpha_bar.sqrt(), (1 - level.alpha_bar).sqrt()))
        other_eps = (true.x_t - a * wrong.double()) / s
        other = parameterization.predict(silent, wrong.double(), condition, level, other_eps)
        error = (true.target - other.target).square().flatten(1).mean(1) / 0.01
        torch.testing.assert_close(error, parameterization.error_ratio(level), rtol=1e-5, atol=1e-9)


def test_l1_takes_the_root_of_the_weight() -> None:
    parameterization, (x0, condition) = Parameterization(SCHEDULE, "v", "t"), batch()
    level = SCHEDULE.level(torch.tensor([3, 17]))
    simple = Simple(norm="l1", weighting=MinSNR())
    torch.testing.assert_close(
        simple.weight(parameterization, level) ** 2, Simple(weighting=MinSNR()).weight(parameterization, level)
    )
    assert value(simple, Small(), parameterization, x0, condition, seeded()).isfinite()


def test_the_bound_teaches_the_variance_alone_in_the_hybrid() -> None:
    parameterization, (x0, condition), network = (
        Parameterization(SCHEDULE, "eps", "alpha_bar"),
        batch(),
        Small(outputs=6),
    )
    gradients = {}
    for name, objective in (("simple", Hybrid(weight=0)), ("hybrid", Hybrid(weight=0.5)), ("vlb", Variational())):
        network.zero_grad()
        value(objective, network, parameterization, x0, condition, seeded()).backward()
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
    parameterization = Parameterization(schedule, "eps", "t")
    for _ in range(140):
        x0 = data.draw((96, 3, 4, 4), generator)
        optimizer.zero_grad()
        value(Hybrid(weight=1.0), network, parameterization, x0, Condition(x0), generator).backward()
        optimizer.step()
    steps = schedule.transitions()
    exact = (steps.beta_tilde + steps.mean_x0**2 * data.mmse(schedule.alpha_bar[steps.t])).log()
    expected = ((exact - steps.log_beta_tilde) / (steps.log_beta - steps.log_beta_tilde)).flip(0)
    # level 1 is left out: there the bins of 8 bits count
    torch.testing.assert_close(((said + 1) / 2).detach()[1:], expected[1:], rtol=0, atol=0.08)


def test_few_steps_are_the_sampler_s_own(independent) -> None:
    """The loss is that of DDIM's result, and its gradient goes through all steps."""
    from restore.samplers import DDIM, RecordedNoise

    parameterization, (x0, condition), network = Parameterization(SCHEDULE, "residual", "alpha_bar"), batch(2), Small()
    for objective in (FewStep(steps=3), FewStep(steps=3, share=0.4, norm="mse")):
        found = value(objective, network, parameterization, x0, condition, seeded())
        recorded = RecordedNoise([noise(x0, seeded())])
        steps = list(DDIM(steps=3)(parameterization.denoiser(network), condition, SCHEDULE, recorded))
        loss = F.l1_loss if objective.norm == "l1" else F.mse_loss
        *way, last = [loss(step.x0, x0) for step in steps]
        torch.testing.assert_close(found, (1 - objective.share) * last + objective.share * sum(way) / 2)
    weight = network.conv.weight
    (whole,) = torch.autograd.grad(value(FewStep(steps=3), network, parameterization, x0, condition, seeded()), weight)
    with torch.no_grad():
        before = steps[1].x_t.detach()
    level = SCHEDULE.level(SCHEDULE.steps(3)[2], 2)
    (one,) = torch.autograd.grad(F.l1_loss(parameterization.denoiser(network)(before, level, condition).x0, x0), weight)
    assert (whole - one).abs().max() > 1e-6


def test_few_step_training_lowers_the_error_of_those_steps() -> None:
    parameterization, (x0, condition), network = Parameterization(SCHEDULE, "residual", "alpha_bar"), batch(), Small()
    optimizer, objective = torch.optim.Adam(network.parameters(), lr=0.02), FewStep(steps=2)
    first = value(objective, network, parameterization, x0, condition, seeded()).item()
    for _ in range(60):
        optimizer.zero_grad()
        value(objective, network, parameterization, x0, condition, seeded()).backward()
        optimizer.step()
    assert value(objective, network, parameterization, x0, condition, seeded()).item() < 0.8 * first


def test_a_classifier_learns_labels_of_noised_images() -> None:
    x0, _ = batch(48)
    label = torch.arange(48) % 2
    condition = Condition(label.float().reshape(-1, 1, 1, 1).expand_as(x0) - 0.5, label)
    parameterization, weight = Parameterization(SCHEDULE, "x0", "t"), nn.Parameter(torch.zeros(()))
    seen = []

    def network(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        seen.append(x_t)
        score = weight * x_t.flatten(1).mean(1)
        return torch.stack([-score, score], dim=1)

    objective = Classification()
    loss = value(objective, network, parameterization, x0, condition, seeded())
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert weight.grad < 0  # brighter images are of label 1
    generator = seeded()
    level = Uniform()(48, SCHEDULE, generator)
    torch.testing.assert_close(seen[0], noised(condition.image, noise(x0, generator), level.alpha_bar))
    with pytest.raises(ConfigError, match="have none"):
        value(objective, network, parameterization, x0, condition.replaced(label=None), seeded())


@pytest.mark.parametrize(
    "objective", [Simple(levels=Importance()), Hybrid(levels=Importance()), Variational(levels=Importance())]
)
def test_objectives_tell_importance_sampling_their_losses(objective) -> None:
    parameterization, (x0, condition) = Parameterization(SCHEDULE, "eps", "alpha_bar"), batch()
    network = Small(outputs=3 if isinstance(objective, Simple) else 6)
    loss, other = (objective.build(Setting(network, parameterization)) for _ in range(2))
    loss(Batch(x0, condition, seeded()))
    assert loss.history.counts.sum() == len(x0)
    assert other.history.counts is None  # each loss has its own
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.history.losses, loss.history.losses)


def test_the_bound_needs_the_schedule_s_levels() -> None:
    parameterization, (x0, condition) = Parameterization(SCHEDULE, "eps", "alpha_bar"), batch()
    for kind in ("hybrid", "vlb"):
        with pytest.raises(ConfigError, match="at the schedule's levels only"):
            parse(ObjectiveSpec, {"kind": kind, "levels": {"kind": "continuous"}}, "objective")
    with pytest.raises(ConfigError, match="has not learned a variance"):
        value(Hybrid(), Small(), parameterization, x0, condition, seeded())


def test_an_objective_without_a_kind_is_simple() -> None:
    found = parse(ObjectiveSpec, {"norm": "l1", "levels": {"kind": "at_the_end", "share": 0.7}}, "objective")
    assert isinstance(found, Simple) and found.norm == "l1"
    assert parse(ObjectiveSpec, found.model_dump(mode="json"), "objective") == found
    with pytest.raises(ConfigError, match=r"'nce'.*simple, vlb, hybrid, few_step"):
        parse(ObjectiveSpec, {"kind": "nce"}, "objective")


def test_the_logarithm_counts_images_alike() -> None:
    """Halving the squared error of any one image gains the same."""
    target = torch.zeros(2, 3, 8, 8)
    output = torch.tensor([0.5, 0.1]).reshape(2, 1, 1, 1).expand_as(target)
    before, after = (distance(x, target, "log_mse") for x in (output, output / 2**0.5))
    torch.testing.assert_close(before - after, torch.full((2,), math.log(2)), rtol=0, atol=0.012)
    assert distance(target, target, "log_mse").isfinite().all()


class Judge(nn.Module):
    """Logits that are the mean and the highest of the images; it remembers how large they were."""

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3)), images.amin((1, 2, 3))], dim=1)


def test_a_detector_is_shown_images_made_smaller() -> None:
    x0, condition = batch()
    parameterization, judge = Parameterization(SCHEDULE, "x0", "t"), Judge()
    plain = value(Recognition(), judge, parameterization, x0, condition, seeded())
    assert judge.seen is condition.image
    assert plain == pytest.approx(F.cross_entropy(judge(condition.image), condition.label, label_smoothing=0.05).item())
    value(Recognition(reduce=(0.5, 0.5)), judge, parameterization, x0, condition, seeded())
    assert torch.allclose(judge.seen, F.avg_pool2d(condition.image, 2))
    sides = set()
    for seed in range(40):
        value(Recognition(reduce=(0.25, 1.0)), judge, parameterization, x0, condition, seeded(seed))
        sides.add(judge.seen.shape[-1])
    assert sides == set(range(2, 9))
    value(Recognition(reduce=(0.01, 0.01)), judge, parameterization, x0, condition, seeded())
    assert judge.seen.shape[-2:] == (1, 1)


@pytest.mark.parametrize("reduce", [(0.0, 1.0), (0.9, 0.5), (0.5, 1.5)])
def test_factors_that_reduce_nothing_are_refused(reduce: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="reduce: two factors in ascending order"):
        parse(Recognition, {"reduce": reduce}, "objective")


DIFFUSION = [
    Simple(levels=Antithetic(), weighting=MinSNR()),
    Simple(levels=Importance(keep=1), norm="rmse"),
    Simple(levels=Continuous(shared=True)),
    Hybrid(levels=Importance(keep=1)),
    Variational(),
    FewStep(steps=2),
]


@pytest.mark.parametrize("objective", DIFFUSION, ids=lambda objective: objective.kind)
def test_processes_draw_what_one_draws(objective: Objective) -> None:
    """The mean of the losses of two halves of a batch is the loss of the whole."""
    network, (x0, condition) = Small(outputs=6 if objective.kind in ("hybrid", "vlb") else 3), batch(6)
    parameterization = Parameterization(SCHEDULE, "eps", "alpha_bar")
    loss = objective.build(Setting(network, parameterization))
    whole = loss(Batch(x0, condition, seeded()))
    parts = []
    for rank in range(2):
        rows = slice(3 * rank, 3 * rank + 3)
        fresh = objective.build(Setting(network, parameterization))
        parts.append(fresh(Batch(x0[rows], condition.select(rows), seeded(), rank, processes=2)))
    torch.testing.assert_close(sum(parts) / 2, whole)


class Distillation(Objective):
    """The mean difference from a teacher, or from the average of the network itself."""

    kind: str = "distillation"
    teacher: str | None = None

    def build(self, setting: Setting) -> Loss:
        teacher = setting.ema if self.teacher is None else setting.teachers[self.teacher]

        class Difference(LevelLoss):
            def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
                x_t = noised(batch.x0, batch.eps(), level.alpha_bar)
                value = parameterization.value(level)
                outputs = (net(x_t, value, batch.condition) for net in (self.setting.network, teacher))
                return distance(*outputs, "mse")

        return Difference(setting, Uniform())


def test_an_objective_reaches_teachers_by_name_and_the_average() -> None:
    (x0, condition), network, other = batch(), Small(), Small()
    with torch.no_grad():
        other.conv.bias.add_(2.0)
    parameterization = Parameterization(SCHEDULE, "eps", "t")
    setting = Setting(network, parameterization, ema=copy.deepcopy(network), teachers={"big": other})
    found = {}
    for who in (None, "big"):
        found[who] = Distillation(teacher=who).build(setting)(Batch(x0, condition, seeded())).item()
    assert found == {None: 0.0, "big": pytest.approx(4.0)}


def test_no_loss_reads_what_lies_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device there is nothing to be read, and whatever would wait for a GPU fails."""
    (x0, condition), draws = batch(), {"rand": torch.rand, "randn": torch.randn, "randint": torch.randint}
    for name, draw in draws.items():

        def on_meta(*size: Any, device: Any = None, draw: Any = draw, **options: Any) -> Tensor:
            return draw(*size, **options).to("meta")

        monkeypatch.setattr(torch, name, on_meta)
    monkeypatch.setattr(torch, "multinomial", lambda p, n, **_: torch.empty(n, dtype=torch.int64, device=p.device))
    for objective in DIFFUSION:
        network = Small(outputs=6 if objective.kind in ("hybrid", "vlb") else 3).to("meta")
        loss = objective.build(Setting(network, Parameterization(SCHEDULE, "eps", "alpha_bar")))
        generator = _OnMeta()
        for _ in range(2):
            found = loss(Batch(x0.to("meta"), condition.to("meta"), generator))  # type: ignore[arg-type]
            assert found.device.type == "meta"
            found.backward()


class _OnMeta(torch.Generator):
    """A generator that says it were on the meta device."""

    device = torch.device("meta")
