from __future__ import annotations

import gc
import weakref
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import Cosine, Linear, ZeroTerminal
from restore.errors import ConfigError
from restore.samplers import (
    DDIM,
    Ancestral,
    Consistency,
    DPMSolver,
    Langevin,
    RecordedNoise,
    Sampler,
    SamplerSpec,
    SeededNoise,
)
from restore.schema import parse

SCHEDULE = Cosine(steps=50).build()
ALL: list[Sampler] = [
    DDIM(steps=4),
    DDIM(steps=4, eta=0.7),
    Ancestral(steps=4),
    Ancestral(steps=4, variance="beta"),
    Ancestral(steps=4, variance="learned"),
    DPMSolver(steps=4, order=1),
    DPMSolver(steps=5, order=2),
    DPMSolver(steps=6, order=3),
    DPMSolver(steps=4, method="singlestep"),
    DPMSolver(steps=5, method="singlestep"),
    Langevin(steps=3, repeats=2),
    Consistency(steps=3),
]
each_sampler = pytest.mark.parametrize("sampler", ALL, ids=lambda s: f"{s.kind}-{ALL.index(s)}")


def network(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
    """Some smooth answer that depends on everything."""
    a = level.alpha_bar.to(x_t).reshape(-1, 1, 1, 1)
    x0 = torch.tanh(a.sqrt() * x_t + 0.3 * condition.image + 0.1 * x_t.flip(-1))
    return Estimate(x0, torch.sigmoid(x_t))


def condition(batch: int, seed: int = 5) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    return Condition(torch.randn(batch, 3, 6, 4, generator=generator).clamp(-1, 1))


@each_sampler
def test_steps_lead_to_the_clean_end(sampler: Sampler) -> None:
    steps = list(sampler(network, condition(2), SCHEDULE, SeededNoise([1, 2])))
    assert steps[-1].t == 0 and torch.equal(steps[-1].x_t, steps[-1].x0)
    assert all(step.x_t.shape == step.x0.shape == (2, 3, 6, 4) for step in steps)
    assert len(steps) == sampler.evaluations(SCHEDULE)
    assert [step.t for step in steps] == sorted((step.t for step in steps), reverse=True)
    # what was yielded is not written to later
    again = [step.x_t.clone() for step in sampler(network, condition(2), SCHEDULE, SeededNoise([1, 2]))]
    assert all(torch.equal(step.x_t, x) for step, x in zip(steps, again, strict=True))


@each_sampler
@pytest.mark.parametrize("start", [None, 30])
def test_states_may_have_another_shape_than_images(sampler: Sampler, start: int | None) -> None:
    """Of what a codec made of images, x_T has the shape; the condition stays an image beside it."""
    if start is not None:
        sampler = parse(type(sampler), {**sampler.model_dump(), "start": start, "steps": 3}, "the sampler")
    shown, shapes = condition(2), set()

    def denoiser(x_t: Tensor, level: Level, given: Condition) -> Estimate:
        shapes.add((tuple(x_t.shape), tuple(given.image.shape)))
        return Estimate(torch.tanh(x_t), torch.sigmoid(x_t))

    def run(state: Tensor) -> Tensor:
        (last,) = deque(sampler(denoiser, shown, SCHEDULE, SeededNoise([1, 2]), state), maxlen=1)
        return last.x_t

    state = F.pixel_unshuffle(shown.image, 2)
    found = run(state)
    assert found.shape == (2, 12, 3, 2) and shapes == {((2, 12, 3, 2), (2, 3, 6, 4))}
    assert torch.equal(F.pixel_unshuffle(F.pixel_shuffle(found, 2), 2), found)
    # where it starts from the noised state, what that holds counts; where it starts from noise alone, it does not
    assert torch.equal(run(-state), found) == (start is None)


@each_sampler
def test_an_image_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    both = deque(sampler(network, condition(2), SCHEDULE, SeededNoise([1, 2])), maxlen=1)[0].x_t
    alone = deque(sampler(network, condition(2).select(slice(1, 2)), SCHEDULE, SeededNoise([2])), maxlen=1)[0].x_t
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-6)


@each_sampler
def test_recorded_noise_is_left_alone(sampler: Sampler) -> None:
    drawn = [torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(i)) for i in range(12)]
    kept = [noise.clone() for noise in drawn]
    given_image = condition(2)
    image = given_image.image.clone()
    deque(sampler(network, given_image, SCHEDULE, RecordedNoise(drawn)), maxlen=0)
    assert all(torch.equal(a, b) for a, b in zip(drawn, kept, strict=True))
    assert torch.equal(given_image.image, image)


@each_sampler
def test_a_truncated_start_begins_at_the_noised_image(sampler: Sampler) -> None:
    seen = []

    def watched(x_t: Tensor, level: Level, asked: Condition) -> Estimate:
        seen.append((int(level.t[0]), x_t))
        return network(x_t, level, asked)

    eps = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(3))
    noise = RecordedNoise([eps, *(torch.zeros_like(eps) for _ in range(9))])
    deque(sampler.model_copy(update={"start": 20})(watched, condition(2), SCHEDULE, noise), maxlen=0)
    assert seen[0][0] == 20 and all(t <= 20 for t, _ in seen)
    torch.testing.assert_close(seen[0][1], noised(condition(2).image, eps, SCHEDULE.level(20, 2).alpha_bar))


@given(steps=st.integers(1, 12), spacing=st.sampled_from(["trailing", "leading", "linspace"]), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_ddim_with_eta_1_is_ddpm(steps: int, spacing: str, seed: int) -> None:
    ddim = DDIM(steps=steps, spacing=spacing, eta=1.0)(network, condition(2), SCHEDULE, SeededNoise([seed, 7]))
    ddpm = Ancestral(steps=steps, spacing=spacing)(network, condition(2), SCHEDULE, SeededNoise([seed, 7]))
    for a, b in zip(ddim, ddpm, strict=True):
        assert a.t == b.t
        torch.testing.assert_close(a.x_t, b.x_t, rtol=0, atol=2e-5)


def test_dpm_solver_of_order_1_is_ddim() -> None:
    for a, b in zip(
        DPMSolver(steps=7, order=1)(network, condition(2), SCHEDULE, SeededNoise([1, 2])),
        DDIM(steps=7)(network, condition(2), SCHEDULE, SeededNoise([1, 2])),
        strict=True,
    ):
        torch.testing.assert_close(a.x_t, b.x_t, rtol=0, atol=2e-5)


def test_one_consistency_step_is_one_ddim_step() -> None:
    ours = list(Consistency(steps=1)(network, condition(1), SCHEDULE, SeededNoise([4])))
    (theirs,) = DDIM(steps=1)(network, condition(1), SCHEDULE, SeededNoise([4]))
    assert len(ours) == 1 and torch.equal(ours[0].x_t, theirs.x_t)


@each_sampler
def test_noise_alone_is_a_possible_start(sampler: Sampler) -> None:
    """At the end of a zero-terminal schedule log(a / s) is infinite, and every solver must live with that."""
    schedule = ZeroTerminal(base=Linear(steps=50)).build()
    *_, last = sampler(network, condition(2), schedule, SeededNoise([1, 2]))
    assert bool(last.x_t.isfinite().all())


@pytest.mark.parametrize("sampler", [DDIM(steps=3), DDIM(steps=3, eta=1.0), Ancestral(steps=3), Consistency(steps=3)])
def test_little_is_held_while_the_network_runs(sampler: Sampler) -> None:
    """Of all tensors made on the way, only x_t lives when the network is asked again."""
    made: list[weakref.ref[Tensor]] = []
    held = []

    def watched(x_t: Tensor, level: Level, asked: Condition) -> Estimate:
        gc.collect()
        held.append(sum(ref() is not None and ref() is not x_t for ref in made))
        x0 = torch.tanh(x_t)
        made.extend((weakref.ref(x_t), weakref.ref(x0)))
        return Estimate(x0)

    for step in sampler(watched, condition(1), SCHEDULE, SeededNoise([0])):
        del step
    assert held == [0, 0, 0]


def test_a_gradient_for_the_mean_needs_the_ancestral_sampler() -> None:
    def guided(x_t: Tensor, level: Level, asked: Condition) -> Estimate:
        return Estimate(x_t, None, torch.ones_like(x_t))

    for sampler in (DDIM(steps=2), DPMSolver(steps=2), Langevin(steps=2), Consistency()):
        with pytest.raises(ConfigError, match="needs the ancestral sampler"):
            list(sampler(guided, condition(1), SCHEDULE, SeededNoise([0])))
    assert len(list(Ancestral(steps=2)(guided, condition(1), SCHEDULE, SeededNoise([0])))) == 2


def test_a_learned_variance_that_is_missing() -> None:
    with pytest.raises(ConfigError, match="choose variance beta or beta_tilde"):
        list(
            Ancestral(steps=2, variance="learned")(
                lambda x_t, level, asked: Estimate(x_t), condition(1), SCHEDULE, SeededNoise([0])
            )
        )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "euler"}, "unknown kind 'euler'; choose ddim, ancestral, dpm_solver, langevin, consistency"),
        ({"kind": "ddim", "eta": 1.5}, "eta.*less than or equal to 1.*got 1.5"),
        ({"kind": "ddim", "eta": -0.1}, "eta.*greater than or equal to 0.*got -0.1"),
        ({"kind": "ddim", "spacing": "evenly"}, "unknown spacing 'evenly'; choose leading"),
        ({"kind": "ddim", "steps": 4, "spacing": "10"}, "'10' visits 10 levels, not 4"),
        ({"kind": "ancestral", "variance": "fixed"}, "variance.*'beta', 'beta_tilde' or 'learned'.*got 'fixed'"),
        ({"kind": "dpm_solver", "order": 4}, "order.*1, 2 or 3.*got 4"),
        ({"kind": "dpm_solver", "order": 3, "method": "singlestep"}, "order 2, not 3"),
        ({"kind": "langevin", "size": 2.5}, "size.*less than 2.*got 2.5"),
    ],
)
def test_bad_values_are_named(document: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(SamplerSpec, document, "sampler")


@pytest.mark.parametrize(
    ("sampler", "said"),
    [(DDIM(steps=51), "between 1 and 50 .*not 51"), (DDIM(start=51), "start must be .* 1 and 50, not 51")],
)
def test_more_than_the_schedule_has(sampler: Sampler, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        list(sampler(network, condition(1), SCHEDULE, SeededNoise([0])))


def test_sections_count_as_steps() -> None:
    assert parse(SamplerSpec, {"kind": "ddim", "spacing": "ddim10"}, "s").steps == 10
    assert Ancestral(spacing="3,4").steps == 7
    assert Ancestral().evaluations(SCHEDULE) == 50
    assert DDIM(steps=7, spacing="weatherdiffusion").evaluations(SCHEDULE) == 8
    for sampler in ALL:
        assert parse(SamplerSpec, sampler.model_dump(mode="json"), "s") == sampler
