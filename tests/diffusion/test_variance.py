from __future__ import annotations

import pytest
import torch

from restore.diffusion.schedule import Linear
from restore.diffusion.variance import log_variance
from restore.errors import ConfigError


def test_the_fraction_interpolates_between_the_bounds() -> None:
    schedule = Linear(steps=50).build()
    steps = schedule.transitions(schedule.steps(7, "leading"))
    step = steps.at(2)
    for fraction, expected in ((0.0, step.beta_tilde), (1.0, step.beta), (0.5, (step.beta * step.beta_tilde).sqrt())):
        told = torch.full((1, 3, 2, 2), fraction, dtype=torch.float64)
        torch.testing.assert_close(log_variance(step, "learned", told).exp(), expected.expand(1, 3, 2, 2))


def test_the_last_step_repeats_the_one_before() -> None:
    steps = Linear(steps=50).build().transitions()
    before, last = steps.at(48), steps.at(49)
    assert last.u == 0 and last.beta_tilde == 0
    for kind in ("beta", "beta_tilde"):
        assert log_variance(last, kind) == before.beta_tilde.log()  # type: ignore[arg-type]
    torch.testing.assert_close(log_variance(before, "beta").exp(), before.beta)


def test_variance_that_was_never_learned() -> None:
    step = Linear(steps=50).build().transitions().at(0)
    with pytest.raises(ConfigError, match="choose variance beta or beta_tilde"):
        log_variance(step, "learned")
    with pytest.raises(ConfigError, match="'fixed'; choose beta, beta_tilde or learned"):
        log_variance(step, "fixed")  # type: ignore[arg-type]
