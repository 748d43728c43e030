"""The planner: counts that are exact, and choices that keep to a budget. Its times are checked by a benchmark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from restore.denoisers.tiles import Tiles
from restore.diffusion.schedule import Cosine
from restore.errors import ConfigError
from restore.models.recipe import Recipe
from restore.networks import UNetSpec
from restore.restoration.plan import Speed, choose, cost, parse_bytes, parse_seconds, predict, survey
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM
from restore.system.memory import peak_resident, resident
from restore.tasks import Inpainting, Prepared

SPEED = Speed({(1, 64, 64): (1e9, 0.01), (1, 256, 256): (1e10, 0.05)}, pixel=1e-7)


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


def test_operations_are_those_of_the_network(restorer: Restorer) -> None:
    """Counting on tensors without numbers gives what counting a real evaluation gives."""
    image = torch.zeros(2, 3, 24, 40)
    seen = []

    def counted(steps_batch: int) -> None:
        seen.append(steps_batch)

    tiles = Tiles(size=40, overlap=0, multiple=4, batch=2, context=16)
    with FlopCounterMode(display=False) as flops:
        restorer.batch(Prepared(image), Settings(tiles=tiles), on_tiles=counted)
    assert seen == [2]
    recipe = restorer.recipe.model_copy(update={"tiles": tiles})
    thumbnails = 2 * 2 * (9 * 4 * 3 * 8**2 + 9 * 8 * 4 * 4**2 + 9 * 8 * 8 * 2**2)  # made once an image, not a tile
    assert cost(recipe, 2, 24, 40).flop == flops.get_total_flops() - thumbnails


def test_bytes_grow_with_the_tile_and_do_not_count_weights() -> None:
    recipe = Recipe(name="plain")
    small, large = cost(recipe, 1, 64, 64), cost(recipe, 4, 128, 128)
    assert small.bytes < 1e6  # the weights have 24 MB
    assert 12 < large.bytes / small.bytes <= 16.5
    assert 15.9 < large.flop / small.flop <= 16
    half = cost(recipe, 1, 64, 64, torch.bfloat16)
    assert half.flop == small.flop and half.bytes < 0.7 * small.bytes


def test_any_network_can_be_counted() -> None:
    spec = UNetSpec.model_validate({"channels": (32, 64), "blocks": 1})
    tiles = Tiles(size=64, overlap=0, multiple=spec.multiple, fixed=True)
    found = cost(Recipe(name="other", network=spec, tiles=tiles), 1, 64, 64)
    assert found.flop > 1e6 and found.bytes > 64 * 64 * 32 * 4


def test_tiles_are_counted_as_they_are_seen(restorer: Restorer) -> None:
    seen = []
    for grid in ("anchored", "weatherdiffusion", "whole"):
        tiles = Tiles(grid=grid, size=32, overlap=8, multiple=4, batch=3, context=16)
        plan = predict(restorer, tiles, DDIM(steps=2), 70, 50, SPEED)
        seen.clear()
        restorer.batch(Prepared(torch.zeros(1, 3, 70, 50)), plan.apply(Settings()), on_tiles=seen.append)
        assert plan.evaluations == sum(seen)


def test_a_plan_grows_with_its_steps(restorer: Restorer) -> None:
    tiles = Tiles(size=32, overlap=8, multiple=4, context=16)
    one, four = (predict(restorer, tiles, DDIM(steps=n), 200, 300, SPEED) for n in (1, 4))
    assert four.tflop == pytest.approx(4 * one.tflop)
    assert four.seconds == pytest.approx(4 * one.seconds)
    assert one.memory > resident()


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-3, 1e3), st.integers(1, 3), st.sampled_from([None, 30]))
def test_a_choice_keeps_to_its_time_and_only_takes_away(
    restorer: Restorer, budget: float, size: int, stride: int | None
) -> None:
    own = Tiles(size=64, overlap=16, stride=stride, batch=3, multiple=4, context=16, grid="anchored")
    many = Restorer(restorer.recipe.model_copy(update={"tiles": own, "sampler": DDIM(steps=25)}), restorer.network)
    plan = choose(many, 100 * size, 150, budget, speed=SPEED)
    free = choose(many, 100 * size, 150, speed=SPEED)
    assert plan.seconds <= budget or not plan.fits
    assert isinstance(plan.sampler, DDIM) and plan.sampler.steps <= 25
    assert plan.seconds <= free.seconds and (free.sampler, free.tiles) == (DDIM(steps=25), own)
    assert (plan == replace(free, memory=plan.memory)) == (free.seconds <= budget)
    # with more time it has no fewer steps
    more = choose(many, 100 * size, 150, budget * 4, speed=SPEED)
    assert more.sampler.steps >= plan.sampler.steps or not plan.fits


def test_a_spacing_of_sections_keeps_its_steps(restorer: Restorer) -> None:
    sections = Restorer(restorer.recipe.model_copy(update={"sampler": DDIM(spacing="10,5")}), restorer.network)
    plan = choose(sections, 90, 90, 1e-6, speed=SPEED)
    assert plan.sampler.steps == 15 and not plan.fits


def test_only_what_schedule_and_spacing_allow_is_surveyed(tiny_recipe: Recipe) -> None:
    short = tiny_recipe.model_copy(update={"schedule": Cosine(steps=3)})
    plans = survey(Restorer(short, short.network.build()), 90, 90)
    assert "2 steps" in plans and not {"4 steps", "25 steps", "published, r = 16"} & set(plans)
    sections = tiny_recipe.model_copy(update={"sampler": DDIM(spacing="10,5")})
    plans = survey(Restorer(sections, sections.network.build()), 90, 90, speed=SPEED)
    assert plans["the model's own"].sampler.steps == 15 and not any(name.endswith(" steps") for name in plans)


def test_a_network_that_must_see_the_whole_is_not_shown_parts() -> None:
    spec = UNetSpec.model_validate({"channels": (32, 64), "blocks": 1})
    tiles = Tiles(grid="whole", size=512, overlap=0, multiple=spec.multiple)
    recipe = Recipe(name="other", network=spec, tiles=tiles)
    with torch.device("meta"):
        network = spec.build()
    restorer = Restorer(recipe, network, device="meta")
    assert choose(restorer, 300, 300, 1e9, speed=SPEED).tiles == tiles
    with pytest.raises(ConfigError, match="600 pixels cannot be taken in parts"):
        choose(restorer, 600, 600, 1e9, speed=SPEED)


def test_steps_that_are_given_are_kept(restorer: Restorer) -> None:
    assert choose(restorer, 90, 90, 100.0, settings=Settings(steps=3), speed=SPEED).sampler.steps == 3
    assert choose(restorer, 90, 90, 1e-6, settings=Settings(steps=3), speed=SPEED).sampler.steps == 3
    assert choose(restorer, 90, 90, speed=SPEED).sampler == restorer.recipe.sampler
    assert choose(restorer, 90, 90, 1e6, speed=SPEED).sampler == restorer.recipe.sampler


def test_every_sample_takes_its_time(restorer: Restorer) -> None:
    two, six = (choose(restorer, 90, 90, settings=Settings(steps=2, samples=n), speed=SPEED) for n in (2, 6))
    assert six.seconds == pytest.approx(3 * two.seconds)
    assert six.evaluations == 3 * two.evaluations
    assert (
        choose(restorer, 90, 90, 1e-6, settings=Settings(samples=2), speed=SPEED).sampler.steps == 2
    )  # one step gives one image


def test_the_guards_look_at_the_whole_is_counted(restorer: Restorer) -> None:
    seen: list[int] = []
    tiles = Tiles(size=32, overlap=8, multiple=4, batch=3, context=16, guard=0.5)
    plan = predict(restorer, tiles, DDIM(steps=2), 70, 50, SPEED)
    restorer.batch(Prepared(torch.zeros(1, 3, 70, 50)), plan.apply(Settings()), on_tiles=seen.append)
    assert plan.evaluations == sum(seen)
    assert restorer.evaluations(70, 50, Settings(steps=2, tiles=tiles)) == sum(seen)


def test_a_condition_with_a_mask_can_be_timed(tiny_recipe: Recipe) -> None:
    from restore.restoration.plan import calibrate

    network = tiny_recipe.network.model_copy(update={"condition_channels": 4})
    recipe = tiny_recipe.model_copy(update={"task": Inpainting(), "network": network, "tasks": {"inpaint": "unknown"}})
    assert recipe.task.channels == 4
    speed = calibrate(Restorer(recipe, network.build()), [(1, 32, 32)], seconds=0.2)
    assert speed.calls


def test_little_memory_means_small_tiles_or_an_error(tiny_recipe: Recipe) -> None:
    tiles = Tiles(size=512, overlap=32, multiple=4, batch=4)
    large = Restorer(tiny_recipe.model_copy(update={"tiles": tiles}), tiny_recipe.network.build())
    free = choose(large, 2000, 2000, speed=SPEED)
    assert free.tiles == tiles
    tight = choose(large, 2000, 2000, memory=free.memory - 30_000_000, speed=SPEED)
    assert tight.memory <= free.memory - 30_000_000
    assert tight.tiles.size * tight.tiles.batch < 512 * 4
    with pytest.raises(ConfigError, match=r"at least .* of memory"):
        choose(large, 2000, 2000, memory=1_000_000, speed=SPEED)


def test_a_plan_can_be_carried_out(restorer: Restorer) -> None:
    plan = choose(restorer, 40, 60, 0.05, settings=Settings(steps=3), speed=SPEED)
    steps = list(restorer.stream(Prepared(torch.zeros(1, 3, 40, 60)), plan.apply(Settings(seed=7))))
    assert plan.apply(Settings(seed=7)) == Settings(seed=7, sampler=plan.sampler, steps=3, tiles=plan.tiles)
    assert len(steps) == plan.sampler.steps == 3 and steps[-1].x_t.shape == (1, 3, 40, 60)


def test_the_survey_compares_and_marks_what_needs_too_much(restorer: Restorer) -> None:
    plans = survey(restorer, 300, 400, memory=1, speed=SPEED)
    assert {"the model's own", "whole image", "shifted grid", "published, r = 16"} <= set(plans)
    assert not any(plan.fits for plan in plans.values())
    published = plans["published, r = 16"]
    assert published.evaluations == 25 * 16 * 22  # (300 - 64) and (400 - 64) in steps of 16, and the border


def test_a_calibration_knows_what_it_has_timed(restorer: Restorer) -> None:
    from restore.restoration.plan import calibrate

    speed = calibrate(restorer, [(2, 32, 48)], seconds=5)
    assert (2, 32, 48) in speed.calls and speed.pixel > 0
    work, seconds = speed.calls[2, 32, 48]
    assert speed.seconds(work, (2, 32, 48)) == seconds


def test_a_calibration_keeps_to_the_memory_of_the_plan(restorer: Restorer) -> None:
    from restore.restoration.plan import calibrate
    from restore.system.memory import in_use

    shape = (4, 128, 128)
    most = in_use(torch.device("cpu")) + cost(restorer.recipe, *shape).bytes // 2
    assert shape not in calibrate(restorer, [shape], seconds=5, memory=most).calls
    assert shape in calibrate(restorer, [shape], seconds=5).calls


@settings(deadline=None)
@given(st.floats(1e8, 1e12), st.floats(1e8, 1e12))
def test_more_work_takes_no_less_time(a: float, b: float) -> None:
    small, large = sorted((a, b))
    assert 0 < SPEED.seconds(small) <= SPEED.seconds(large) * (1 + 1e-9)


@pytest.mark.parametrize("text", ["", "ten", "10 parsecs", "-3s", "0", "1e9s", "s"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="such as"):
        parse_seconds(text)
    with pytest.raises(ConfigError, match="such as"):
        parse_bytes(text)


def test_memory_is_told_in_bytes() -> None:
    assert 50e6 < resident() <= peak_resident() * 1.05


def test_the_command_prints_what_there_is_to_choose(tiny_model: Path, photographs: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from restore.cli.planning import plan

    app = typer.Typer()
    app.command()(plan)
    image = str(next(photographs.glob("*.png")))
    done = CliRunner().invoke(app, [image, "--model", str(tiny_model), "--device", "cpu", "--budget", "1h"])
    assert done.exit_code == 0, done.output
    assert "128x96" in done.output and "within the budget" in done.output and "published, r = 16" in done.output
    done = CliRunner().invoke(app, [image, "--model", str(tiny_model), "--device", "cpu", "--steps", "2", "--json"])
    document = json.loads(done.output)
    assert document["chosen"]["sampler"]["steps"] == 2 and document["chosen"]["seconds"] > 0


def test_tiles_that_share_much_can_be_timed(restorer: Restorer) -> None:
    own = Tiles(size=1024, overlap=256, multiple=4, context=16)
    assert own.overlap_of(256) == 64
    # calibrates with images that are smaller than what tiles share
    small = choose(restorer, 40, 60, budget=100.0, settings=Settings(tiles=own))
    assert small.fits and small.tiles == own
