"""Self-ensemble: the mean over orientations, at the price of as many looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore import Restorer
from restore.contracts import Condition, Estimate, Level
from restore.denoisers.ensemble import ORIENTATIONS, SelfEnsemble, turn, turn_back
from restore.errors import ConfigError
from restore.restoration.plan import calibrated, survey
from restore.restoration.settings import Settings
from restore.tasks import Prepared

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


def image(height: int = 70, width: int = 93, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_eight_orientations_are_those_of_a_square() -> None:
    x = torch.arange(16.0).view(1, 4, 4)
    turned = [turn(x, k) for k in range(8)]
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    quarter = torch.rot90(x, 1, (-2, -1))
    assert any(torch.equal(quarter, t) for t in turned)
    for k in range(8):
        assert torch.equal(turn_back(turn(x, k), k), x)
        assert turn(torch.zeros(2, 3, 5, 7), k).shape == ((2, 3, 7, 5) if k >= 4 else (2, 3, 5, 7))


@pytest.mark.parametrize("orientations", ORIENTATIONS)
def test_in_one_step_it_is_the_mean_of_whole_restorations(restorer: Restorer, orientations: int) -> None:
    degraded = image()
    start = restorer.denoiser(clipped=False)

    def estimate(denoiser, x_t: Tensor, shown: Tensor) -> Tensor:
        level = restorer.schedule.level(restorer.schedule.T, 1)
        return denoiser(x_t, level, restorer.condition(shown, 1)).x0

    x_t = torch.randn(degraded.shape, generator=torch.Generator().manual_seed(1))
    each = [turn_back(estimate(start, turn(x_t, k), turn(degraded, k)), k) for k in range(orientations)]
    many = Settings(self_ensemble=orientations)
    with torch.no_grad():
        got = estimate(restorer.denoiser(many, clipped=False), x_t, degraded)
    torch.testing.assert_close(got, torch.stack(each).mean(0), rtol=0, atol=1e-5)
    assert restorer.batch(Prepared(degraded), many, labels=1).mean.shape == degraded.shape


def test_with_all_eight_a_turned_image_gives_the_turned_answer(restorer: Restorer) -> None:
    degraded, x_t = image(64, 64, 2), image(64, 64, 3)
    level = restorer.schedule.level(restorer.schedule.T // 2, 1)

    def answer(settings: Settings, k: int) -> Tensor:
        with torch.no_grad():
            condition = restorer.condition(turn(degraded, k), 1, settings)
            return restorer.denoiser(settings)(turn(x_t, k), level, condition).x0

    one, eight = Settings(), Settings(self_ensemble=8)
    for k in (1, 3, 6):
        torch.testing.assert_close(answer(eight, k), turn(answer(eight, 0), k), rtol=0, atol=1e-5)
        assert (answer(one, k) - turn(answer(one, 0), k)).abs().max() > 1e-3  # so it is not trivial


def test_overviews_are_made_once_an_image() -> None:
    made = []

    def overview(turned: Condition) -> Condition:
        made.append(turned.image)
        return turned.replaced(thumbnail=turned.image[..., :1, :1], features=turned.image.mean((2, 3)))

    def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        assert torch.equal(condition.thumbnail, condition.image[..., :1, :1])
        torch.testing.assert_close(condition.features, condition.image.mean((2, 3)))
        return Estimate(condition.image, fraction=x_t)

    ensemble = SelfEnsemble(denoiser, 4, overview)
    degraded, x_t = image(8, 9), image(8, 9, 1)
    overview_of = lambda image: Condition(image, thumbnail=image[..., :1, :1], features=image.mean((2, 3)))  # noqa: E731
    level = Level(torch.tensor([1]), torch.tensor([0.5]))
    for _ in range(3):
        estimate = ensemble(x_t, level, overview_of(degraded))
    assert len(made) == 3
    torch.testing.assert_close(estimate.x0, degraded)
    assert estimate.fraction is not None
    torch.testing.assert_close(estimate.fraction, x_t)
    assert estimate.gradient is None
    ensemble(x_t, level, overview_of(degraded.clone()))
    assert len(made) == 6


def test_what_it_costs_is_said(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.restoration.plan.choice.in_use", lambda device: 0)
    four = Settings(self_ensemble=4)
    assert restorer.evaluations(100, 200, four) == 4 * restorer.evaluations(100, 200)
    seen: list[int] = []
    restorer.batch(Prepared(image(100, 200)), four, on_tiles=seen.append)
    assert sum(seen) == restorer.evaluations(100, 200, four)
    speed = calibrated(restorer, 100, 200)
    plan = survey(restorer, 100, 200, settings=four, speed=speed)["the model's own"]
    once = survey(restorer, 100, 200, speed=speed)["the model's own"]
    assert plan.evaluations == 4 * once.evaluations
    assert plan.seconds == pytest.approx(4 * once.seconds)
    assert plan.memory - once.memory == 3 * 3 * 100 * 200 * 4  # the turned condition, the turned x_t and the mean


def test_a_guide_has_one_orientation() -> None:
    with pytest.raises(ConfigError, match="one orientation"):
        Settings(self_ensemble=2, guide=lambda denoiser: denoiser)


def test_other_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="1, 2, 4, 8 orientations, not 3"):
        Settings(self_ensemble=3)
