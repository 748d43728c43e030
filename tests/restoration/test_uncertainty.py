"""What `restore evaluate` says about the spread of samples and the likelihood of ground truths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from restore.contracts import Condition
from restore.degradations import LABELS
from restore.denoisers.tiles import thumbnail
from restore.diffusion import likelihood
from restore.errors import ConfigError
from restore.evaluation.metrics import PROTOCOLS
from restore.evaluation.scoring import EvaluationPlan, Journal, ModelMethod, Scoring, evaluate_plan, summarise_rows
from restore.evaluation.scoring.images import from_clean
from restore.evaluation.scoring.likelihood import TERMS
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, Calibration, SeededNoise
from restore.tasks import Inpainting


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


def plan_for(photographs: Path, method: ModelMethod, count: int = 3, batch: int = 1) -> EvaluationPlan:
    cases = from_clean(photographs, ["rain"], 0.5).first(count).cases
    return EvaluationPlan([(case, [method]) for case in cases], Scoring([PROTOCOLS["rgb"]]), batch=batch)


@pytest.mark.parametrize("batch", [1, 3])
def test_calibration_of_a_row_is_that_of_all_its_values(photographs: Path, restorer: Restorer, batch: int) -> None:
    method = ModelMethod("tiny", "derain", restorer, "", Settings(steps=2, samples=4))
    plan = plan_for(photographs, method, batch=batch)
    row = summarise_rows(evaluate_plan(plan))[0]
    expected = Calibration(4)
    for case, _ in plan.jobs:
        loaded = case.load(0)
        assert loaded.degraded is not None
        spread = restorer.posterior(
            loaded.degraded, Settings(task="derain", steps=2, samples=4, seed=case.sampler_seed(0))
        )
        assert spread.deviation is not None and float(spread.deviation.max()) > 0
        expected.add(loaded.target, spread.mean, spread.deviation)
    assert row.calibration is not None
    assert row.calibration.values == expected.values == sum(case.load(0).target.numel() for case, _ in plan.jobs)
    assert row.calibration.inside == pytest.approx(expected.inside, rel=1e-3)
    assert row.calibration.spread_to_error() == pytest.approx(expected.spread_to_error(), rel=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_calibration_of_inpainting_counts_the_pixels_of_holes_only(
    photographs: Path, tiny_recipe: Recipe, batch: int
) -> None:
    torch.manual_seed(0)
    update = {"task": Inpainting(), "tasks": {"inpaint": "unknown"}}
    network = tiny_recipe.network.model_copy(update={"condition_channels": 4})
    recipe = tiny_recipe.model_copy(update={**update, "network": network})
    built = network.build()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    filling = Restorer(recipe, built, torch.device("cpu"), torch.float32)
    method = ModelMethod("tiny", "inpaint", filling, "", Settings(steps=2, samples=3))
    cases = from_clean(photographs, ["mask-box"]).first(2).cases
    row = summarise_rows(
        evaluate_plan(EvaluationPlan([(c, [method]) for c in cases], Scoring([PROTOCOLS["rgb"]]), batch=batch))
    )[0]
    expected, pixels = Calibration(3), 0
    for case in cases:
        loaded, request = case.load(0), case.request(recipe.task, 0, 96, 128)
        assert loaded.degraded is not None and request.mask is not None
        said = filling.posterior(
            loaded.degraded, Settings(request=request, steps=2, samples=3, seed=case.sampler_seed(0))
        )
        assert said.deviation is not None
        rows, columns = request.mask[0].nonzero(as_tuple=True)
        pixels += len(rows)
        expected.add(*(x[:, rows, columns] for x in (loaded.target, said.mean, said.deviation)))
    assert row.calibration is not None
    assert row.calibration.values == expected.values == 3 * pixels < 3 * 2 * 96 * 128 / 2
    assert row.calibration.inside == pytest.approx(expected.inside, rel=2e-3)
    assert row.calibration.spread_to_error() == pytest.approx(expected.spread_to_error(), rel=1e-3)


def test_one_sample_has_no_spread(photographs: Path, restorer: Restorer) -> None:
    row = summarise_rows(evaluate_plan(plan_for(photographs, ModelMethod("tiny", "derain", restorer, ""))))[0]
    assert row.calibration is None and row.bits_per_dim == {}


def test_several_samples_of_a_one_step_model_take_the_steps_that_make_them_differ(restorer: Restorer) -> None:
    assert ModelMethod("tiny", "derain", restorer, "", Settings(samples=3)).sampler.steps == 2
    with pytest.raises(ConfigError, match="answers every seed alike"):
        ModelMethod("tiny", "derain", restorer, "", Settings(steps=1, samples=3))
    # from a noised image, even one step has another answer for every seed
    begun = replace(restorer, recipe=restorer.recipe.model_copy(update={"sampler": DDIM(steps=1, start=500)}))
    assert ModelMethod("tiny", "derain", begun, "", Settings(steps=1, samples=3)).sampler.steps == 1


def test_bits_are_those_of_the_whole_image_at_once(photographs: Path, restorer: Restorer) -> None:
    """The image fits one tile here, so that the bound can be computed without any of the machinery of patches."""
    tiles = restorer.tiles().model_copy(update={"size": 256})
    whole = replace(restorer, recipe=restorer.recipe.model_copy(update={"tiles": tiles}))
    method = ModelMethod("tiny", "derain", whole, "", Settings(steps=7), likelihood=True)
    plan = plan_for(photographs, method, count=1)
    (record,) = evaluate_plan(plan)
    loaded = plan.jobs[0][0].load(0)
    assert loaded.degraded is not None and loaded.degraded.shape[-2:] == (96, 128)
    degraded = loaded.degraded[None]
    label = torch.tensor([LABELS.index("rain")])
    condition = Condition(degraded, label, thumbnail(degraded, tiles.context), box=torch.tensor([[0, 0, 1.0, 1]]))
    denoiser = whole.recipe.threshold.around(whole.parameterization.denoiser(whole.network, torch.float32))
    bits = likelihood.bits_per_dim(
        denoiser,
        loaded.target[None],
        condition,
        whole.schedule,
        SeededNoise([plan.jobs[0][0].sampler_seed(0)]).draw,
        levels=whole.schedule.steps(7),
    )
    found = dict(record.bits_per_dim)
    terms = {"total": bits.total, "L_T": bits.prior, "L_t-1": bits.steps[:, :-1].sum(), "L_0": bits.steps[:, -1]}
    assert found == pytest.approx({name: float(value) for name, value in terms.items()}, rel=1e-4)
    assert found.pop("total") == pytest.approx(sum(found.values()), rel=1e-6)
    assert found["L_t-1"] > 0 and found["L_0"] > 0 and found["L_T"] >= 0


def test_what_was_not_asked_for_before_is_computed_on_resuming(
    photographs: Path, restorer: Restorer, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for record in evaluate_plan(
        plan_for(photographs, ModelMethod("tiny", "derain", restorer, "", Settings(steps=3)), 2)
    ):
        journal.add(record)
    again = Journal(tmp_path / "journal.jsonl", resume=True)
    method = ModelMethod("tiny", "derain", restorer, "", Settings(steps=3), likelihood=True)
    records = list(evaluate_plan(plan_for(photographs, method, 2), again.done))
    assert all(set(record.bits_per_dim) == set(TERMS) for record in records)
    for record in records:
        again.add(record)
    once_more = Journal(tmp_path / "journal.jsonl", resume=True)
    kept = {record.key: record.bits_per_dim for record in once_more.done.values()}
    assert [kept[record.key] for record in records] == [record.bits_per_dim for record in records]


@pytest.mark.parametrize("mask_channel", [True, False], ids=["ours", "Palette's"])
def test_a_model_that_keeps_pixels_has_no_likelihood_of_whole_images(restorer: Restorer, mask_channel: bool) -> None:
    task = Inpainting(mask_channel=mask_channel)
    filling = replace(restorer, recipe=restorer.recipe.model_copy(update={"task": task}))
    with pytest.raises(ConfigError, match="keeps the rest"):
        ModelMethod("tiny", "derain", filling, "", likelihood=True)


def test_calibrations_of_different_kinds_are_not_merged() -> None:
    with pytest.raises(ConfigError, match="cannot be merged"):
        Calibration(3).merge(Calibration(4))
