from __future__ import annotations

import math
from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.contracts import Condition
from restore.diffusion.schedule import Cosine
from restore.errors import ConfigError
from restore.samplers import DDIM, RecordedNoise, SeededNoise
from restore.samplers.interpolation import blended, frames_by_diffusion, frames_by_inversion, invert, slerp

SCHEDULE = Cosine(steps=400).build()


@given(w=st.floats(0, 1), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_slerp_stays_on_the_sphere(w: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    b = b * (a.flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
    between = slerp(a, b, w)
    torch.testing.assert_close(between.flatten(1).norm(dim=1), a.flatten(1).norm(dim=1))
    whole = torch.cosine_similarity(a.flatten(1), b.flatten(1)).arccos()
    part = torch.cosine_similarity(a.flatten(1), between.flatten(1)).clamp(-1, 1).arccos()
    torch.testing.assert_close(part, w * whole, rtol=0, atol=1e-6)


def test_slerp_meets_its_ends_and_lives_with_equal_noises() -> None:
    a, b = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    for other in (a, -a):
        assert bool(slerp(a, other, 0.3).isfinite().all())
    torch.testing.assert_close(slerp(a, a, 0.3), a)


def test_inversion_follows_the_flow_upwards(joint, fresh, blank) -> None:
    x0 = joint.mean + fresh(0).draw(torch.zeros(32, 6, dtype=torch.float64)) @ torch.linalg.cholesky(joint.covariance).T
    x0 = x0.reshape(32, 3, 1, 2)
    exact = joint.flow(x0, 1.0, float(SCHEDULE.alpha_bar[-1]))
    errors = []
    for steps in (100, 200, 400):
        sampler = DDIM(steps=steps, spacing="linspace")
        (end,) = deque(invert(joint, x0, blank(32), SCHEDULE, sampler), maxlen=1)
        assert end.t == SCHEDULE.T
        errors.append(float((end.x_t - exact).abs().mean()))
    assert errors[2] < errors[1] < errors[0] and errors[2] < 0.02
    # and down again
    (back,) = deque(sampler.solve(joint, blank(32), SCHEDULE, end.x_t, sampler.levels(SCHEDULE), fresh(1)), maxlen=1)
    torch.testing.assert_close(back.x_t, x0, rtol=0, atol=0.1)
    assert (back.x_t - x0).abs().mean() < 0.02


def test_one_more_step_leads_to_noise_alone(joint, blank) -> None:
    x0 = torch.full((2, 3, 1, 2), 0.3, dtype=torch.float64)
    sampler = DDIM(steps=50, spacing="linspace")
    (end,) = deque(invert(joint, x0, blank(2), SCHEDULE, sampler), maxlen=1)
    (beyond,) = deque(invert(joint, x0, blank(2), SCHEDULE, sampler, beyond=True), maxlen=1)
    assert beyond.t == SCHEDULE.T + 1
    assert float((beyond.x_t - end.x_t).abs().max()) < 1e-3  # alpha_bar is next to 0 there already


def test_frames_by_inversion_meet_both_ends(joint, fresh, blank) -> None:
    a, b = (torch.full((1, 3, 1, 2), value, dtype=torch.float64) for value in (-0.4, 0.6))
    weights = [0.0, 0.25, 0.5, 0.75, 1.0]
    sampler = DDIM(steps=200, spacing="linspace")
    frames = list(frames_by_inversion(joint, (a, blank(1)), (b, blank(1)), weights, SCHEDULE, sampler, fresh(0)))
    assert len(frames) == 5
    assert (frames[0] - a).abs().max() < 0.06 and (frames[-1] - b).abs().max() < 0.06
    means = [float(frame.mean()) for frame in frames]
    assert means == sorted(means)


def test_frames_by_diffusion_are_the_sampler_s_from_mixed_noised_images(joint, fresh, blank) -> None:
    a, b = (torch.full((1, 3, 1, 2), value, dtype=torch.float64) for value in (-0.4, 0.6))
    eps = fresh(3).draw(a)
    sampler = DDIM(steps=10, start=60)
    frames = list(
        frames_by_diffusion(
            joint, (a, blank(1)), (b, blank(1)), [0.0, 0.5, 1.0], SCHEDULE, sampler, RecordedNoise([eps])
        )
    )
    for frame, image in zip(frames, (a, (a + b) / 2, b), strict=True):
        (alone,) = deque(sampler(joint, Condition(image), SCHEDULE, RecordedNoise([eps])), maxlen=1)
        torch.testing.assert_close(frame, alone.x_t)
    with pytest.raises(ConfigError, match="set the sampler's start"):
        next(frames_by_diffusion(joint, (a, blank(1)), (b, blank(1)), [0.0], SCHEDULE, DDIM(), SeededNoise([0])))


def test_conditions_blend() -> None:
    a = Condition(torch.zeros(1, 3, 2, 2), torch.tensor([1]), torch.zeros(1, 3, 2, 2), torch.zeros(1, 8, 1, 1))
    b = Condition(torch.ones(1, 3, 2, 2), torch.tensor([2]), torch.ones(1, 3, 2, 2), torch.ones(1, 8, 1, 1))
    mixed = blended(a, b, 0.25)
    assert float(mixed.image.mean()) == float(mixed.thumbnail.mean()) == float(mixed.features.mean()) == 0.25
    assert mixed.label.tolist() == [1] and blended(a, b, 0.75).label.tolist() == [2] and mixed.box is None
    assert math.isclose(float(blended(a, b, 1.0).image.mean()), 1)
