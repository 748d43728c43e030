from __future__ import annotations

import pytest
import torch

from restore.contracts import Condition, Level
from restore.denoisers.network import NetworkDenoiser, level_value, split_variance
from restore.denoisers.threshold import Clipped
from restore.diffusion.parameterization import noised, prediction_target
from restore.diffusion.schedule import Linear
from restore.errors import ConfigError

SCHEDULE = Linear(steps=100).build()


def images(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(3))


def test_the_level_in_every_scale() -> None:
    level = Level(torch.tensor([1, 51]), torch.tensor([0.99, 0.25], dtype=torch.float64))
    assert level_value(level, "t").tolist() == [0, 50]
    assert level_value(level, "t", 10.0).tolist() == [0, 500]
    assert level_value(level, "alpha_bar")[1] == 0.25 and level_value(level, "sqrt_alpha_bar")[1] == 0.5
    torch.testing.assert_close(level_value(level, "log_snr").double(), torch.logit(level.alpha_bar), rtol=1e-6, atol=0)
    ends = Level(torch.tensor([0, 9]), torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert level_value(ends, "log_snr").tolist() == [20, -20]
    with pytest.raises(ConfigError, match="'sigma'; choose t, alpha_bar"):
        level_value(level, "sigma")  # type: ignore[arg-type]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "residual", "posterior_mean"])
@pytest.mark.parametrize("learned", [False, True])
def test_a_perfect_network_gives_the_image(prediction: str, learned: bool, generator: torch.Generator) -> None:
    x0, eps, image = images(generator)
    level = SCHEDULE.level(torch.tensor([7, 80]))
    below = SCHEDULE.level(torch.tensor([6, 79])).alpha_bar
    target = prediction_target(x0, eps, level.alpha_bar, prediction, image, below)  # type: ignore[arg-type]
    seen = []

    def network(x_t: torch.Tensor, value: torch.Tensor, condition: Condition) -> torch.Tensor:
        seen.append(value)
        return torch.cat([target, torch.full_like(target, -0.5)], dim=1) if learned else target

    denoiser = NetworkDenoiser(network, prediction, dtype=torch.float64, level_scale=2.0, schedule=SCHEDULE)  # type: ignore[arg-type]
    estimate = denoiser(noised(x0, eps, level.alpha_bar), level, Condition(image))
    torch.testing.assert_close(estimate.x0, x0, rtol=0, atol=1e-9)
    assert seen[0].tolist() == [12, 158]
    if learned:
        assert torch.equal(estimate.fraction, torch.full_like(x0, 0.25))
    else:
        assert estimate.fraction is None


def test_an_output_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="not 4"):
        split_variance(torch.zeros(1, 4, 2, 2), 3)


def test_clipping_keeps_the_rest_of_the_estimate(independent, generator: torch.Generator) -> None:
    data = independent(0.0, 4.0).with_variance(SCHEDULE, [50, 0])
    x_t = images(generator)[0] * 9
    plain = data(x_t, SCHEDULE.level(50, 2), Condition(x_t))
    clipped = Clipped(data)(x_t, SCHEDULE.level(50, 2), Condition(x_t))
    assert plain.x0.abs().max() > 1 and torch.equal(clipped.x0, plain.x0.clamp(-1, 1))
    assert torch.equal(clipped.fraction, plain.fraction)
