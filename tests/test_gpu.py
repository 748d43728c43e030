"""On a GPU nothing waits for it between two steps; on a CPU, the plain numbers that make it so are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from restore.contracts import Condition, Level
from restore.denoisers.tiles import Tiles
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, Ancestral, Consistency, DPMSolver, Langevin
from restore.tasks import Prepared

SAMPLERS = [
    DDIM(steps=3, eta=0.5),
    Ancestral(steps=3, variance="beta"),
    DPMSolver(steps=3),
    Langevin(steps=2, repeats=2),
    Consistency(steps=2),
]


@pytest.fixture
def unwaiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("prediction", ["residual", "eps", "v", "posterior_mean"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.kind)
def test_no_step_waits_for_the_gpu(tiny_recipe: Recipe, sampler, prediction: str, unwaiting: None) -> None:
    torch.cuda.set_sync_debug_mode("default")
    recipe = tiny_recipe.model_copy(update={"prediction": prediction, "sampler": sampler})
    restorer = Restorer(recipe, recipe.network.build(), torch.device("cuda"))
    image = torch.zeros(2, 3, 96, 80, device="cuda")
    tiles = Tiles(size=64, overlap=16, batch=3, multiple=4, context=16, grid="shifted", guard=0.5)
    steps = restorer.stream(Prepared(image), Settings(tiles=tiles, self_ensemble=2))
    next(steps)  # the first step prepares what the others find ready
    torch.cuda.set_sync_debug_mode("error")
    for _ in steps:
        pass


def test_a_level_of_a_sampler_is_a_plain_number_too(tiny_recipe: Recipe) -> None:
    seen: list[Level] = []
    schedule = tiny_recipe.schedule.build()

    def watch(x_t: torch.Tensor, level: Level, condition: Condition):  # type: ignore[no-untyped-def]
        seen.append(level)
        raise StopIteration

    for sampler in SAMPLERS:
        image = torch.zeros(2, 3, 8, 8)
        with pytest.raises((StopIteration, RuntimeError)):
            next(sampler.solve(watch, Condition(image), schedule, image, sampler.levels(schedule), None))
    assert len(seen) == len(SAMPLERS)
    for level in seen:
        assert level.number is not None and level.t.tolist() == [level.number] * 2 == level.numbers()
        assert level.alpha_bar.tolist() == [level.share] * 2
