"""The engine of `restore evaluate`: what is scored, what it depends on, and what it does not depend on."""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from restore import images
from restore.data.synthesize import image_seed, synthesize
from restore.degradations import Haze
from restore.degradations.masks import read_mask
from restore.denoisers.threshold import NoThreshold
from restore.diffusion.schedule import Linear
from restore.errors import ConfigError, DataError
from restore.evaluation.metrics import PROTOCOLS, prepare_input, score
from restore.evaluation.scoring import (
    Case,
    Digests,
    EvaluationPlan,
    Journal,
    Loaded,
    ModelMethod,
    Output,
    OutputFolder,
    Provenance,
    Record,
    Scoring,
    Series,
    compare_methods,
    evaluate_plan,
    gain_of,
    kept_path,
    made_cases,
    score_sets,
    scores_by_image,
    show,
    summarise_rows,
    tasks_for,
)
from restore.evaluation.scoring.cases import enlarged_to
from restore.evaluation.scoring.images import from_card, from_clean, from_folders, from_outputs
from restore.evaluation.scoring.provenance import data_digest, find_commit, origin_on, peak_memory
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.tasks import Inpainting, SuperResolution

NATIVE, RGB, WEATHERDIFF = (PROTOCOLS[name] for name in ("native", "rgb", "weatherdiff"))


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


@pytest.fixture
def method(restorer: Restorer) -> ModelMethod:
    return ModelMethod("tiny", "derain", restorer, "0" * 64)


@pytest.fixture(scope="module")
def pairs(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `input` and `target`, rained on."""
    folder = tmp_path_factory.mktemp("pairs") / "rainy"
    assert not [done.error for done in synthesize(photographs, folder, "rain", seed=3) if done.error]
    return folder


def plan_for(cases: Sequence[Case], *methods: object, protocols=(RGB,), **options: object) -> EvaluationPlan:
    metrics = options.pop("metrics", ())
    return EvaluationPlan([(case, methods) for case in cases], Scoring(protocols, metrics), **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Counted:
    """A method that notes what it was asked for."""

    inner: ModelMethod
    asked: list[str]
    model: str = "tiny"
    task: str = "derain"

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        self.asked.extend(case.name for case in cases)
        return self.inner(cases, degraded, seed)

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        return {}

    def identity(self, case: Case) -> dict[str, object]:
        return self.inner.identity(case)

    def describe(self) -> dict[str, object]:
        return self.inner.describe()


class Colours(torch.nn.Module):
    """Features of a set that are quickly had: the mean of each channel."""

    num_features = 3

    def forward(self, x: Tensor) -> Tensor:
        return x.double().mean((2, 3))


def without_time(records: Sequence[Record]) -> list[dict[str, object]]:
    return sorted(({**r.to_json(), "seconds": None} for r in records), key=lambda d: (d["data"], d["name"], d["seed"]))


# ---- scores --------------------------------------------------------------------------------------------------------


def test_scores_equal_scikit_image_on_the_saved_outputs(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    plan = plan_for(from_folders(pairs / "input", pairs / "target").cases, method, keep=tmp_path)
    records = list(evaluate_plan(plan))
    assert len(records) == 5
    for record in records:
        target = np.asarray(Image.open(pairs / "target" / f"{record.name}.png"))
        sides = {
            "before": Image.open(pairs / "input" / f"{record.name}.png"),
            "after": Image.open(kept_path(tmp_path, record)),
        }
        for side, image in sides.items():
            array, scores = np.asarray(image), getattr(record, side)["rgb"]
            ssim = structural_similarity(
                array,
                target,
                channel_axis=2,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=255,
            )
            assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(target, array, data_range=255), abs=1e-9)
            assert scores["ssim"] == pytest.approx(ssim, abs=1e-6)


def test_weather_made_on_the_fly_is_the_weather_on_disk(photographs: Path, pairs: Path, method: ModelMethod) -> None:
    made = list(evaluate_plan(plan_for(from_clean(photographs, ["rain"]).cases, method, seeds=(3,))))
    stored = list(evaluate_plan(plan_for(from_folders(pairs / "input", pairs / "target").cases, method, seeds=(3,))))
    assert [(r.name, r.before) for r in made] == [(r.name, r.before) for r in stored]
    for a, b in zip(made, stored, strict=True):
        assert a.after["rgb"] == pytest.approx(b.after["rgb"], abs=1e-4)  # the last bit of a float32 pixel


def test_an_image_does_not_depend_on_its_neighbours_their_order_or_the_batch(
    photographs: Path, method: ModelMethod
) -> None:
    cases = from_clean(photographs, ["rain", "snow"]).cases
    one = list(evaluate_plan(plan_for(cases, method)))
    together = list(evaluate_plan(plan_for(cases, method, batch=4)))
    backwards = list(evaluate_plan(plan_for([*reversed(cases)][3:], method)))
    assert [r.key for r in one] == [r.key for r in together]
    for a, b in zip(one, together, strict=True):
        assert a.after["rgb"]["psnr"] == pytest.approx(
            b.after["rgb"]["psnr"], abs=5e-3
        )  # float32 sums in another order
        assert a.before == b.before
    known = {(r.data, r.name): r for r in one}
    assert all(known[r.data, r.name].after == r.after for r in backwards)


def test_samples_of_a_batch_are_those_of_single_images(photographs: Path, restorer: Restorer) -> None:
    method = ModelMethod("tiny", "weather", restorer, "", Settings(steps=2, samples=3))
    photos = [images.read(path).pixels for path in sorted(photographs.iterdir())[:2]]
    cases = [Case("x", str(i), photographs) for i in range(2)]
    together = method(cases, photos, seed=5)
    for case, image, output in zip(cases, photos, together, strict=True):
        own = case.sampler_seed(5)
        alone = restorer.posterior(image, Settings("weather", steps=2, samples=3, seed=own)).mean
        assert torch.allclose(alone, output.pixels, atol=1e-4)
    assert together[0].tiles == restorer.evaluations(96, 128, Settings(steps=2, samples=3))


def test_every_image_has_sampler_noise_of_its_own_and_every_method_the_same(
    photographs: Path, restorer: Restorer
) -> None:
    """Intervals over images assume independence, and a paired comparison the same draws."""
    method = ModelMethod("tiny", "derain", restorer, "", Settings(steps=2))
    image = images.read(photographs / "coffee.png").pixels
    cases = [Case("rain", "a", photographs), Case("rain", "b", photographs), Case("snow", "a", photographs)]
    first, second, again = (output.pixels for output in method(cases, [image] * 3, seed=0))
    assert not torch.allclose(first, second, atol=1e-3)
    assert torch.allclose(first, again, atol=1e-5)
    seeds = {case.sampler_seed(seed) for case in cases for seed in (0, 1)}
    assert len(seeds) == 4 and all(0 <= seed < 2**63 for seed in seeds)
    assert not seeds & {image_seed(seed, f"{case.name}.png") for case in cases for seed in (0, 1)}


def test_another_seed_is_other_weather_and_another_restoration(photographs: Path, restorer: Restorer) -> None:
    method = ModelMethod("tiny", "derain", restorer, "", Settings(steps=2))
    cases = from_clean(photographs, ["rain"]).first(1).cases
    first, second = evaluate_plan(plan_for(cases, method, seeds=(0, 1)))
    assert (first.seed, second.seed) == (0, 1)
    assert first.before != second.before and first.after != second.after


def test_severity_zero_and_clean_leave_the_image_as_it_was(photographs: Path, method: ModelMethod) -> None:
    nothing = list(evaluate_plan(plan_for(from_clean(photographs, ["rain", "clean"], 0.0).first(1).cases, method)))
    assert [r.before["rgb"]["psnr"] for r in nothing] == [math.inf, math.inf]
    (row, _) = summarise_rows(nothing)
    assert row.before["psnr"].mean is None and row.before["psnr"].infinite == 1
    assert row.gain["psnr"].mean is None


def test_a_protocol_that_resizes_restores_the_resized_image(
    photographs: Path, restorer: Restorer, tmp_path: Path
) -> None:
    with Image.open(photographs / "coffee.png") as image:
        image.crop((0, 0, 90, 70)).save(tmp_path / "odd.png")
    asked: list[str] = []
    inner = ModelMethod("tiny", "derain", restorer, "")
    cases = from_clean(tmp_path, ["rain"]).cases
    (record,) = evaluate_plan(plan_for(cases, Counted(inner, asked), protocols=(NATIVE, WEATHERDIFF)))
    assert asked == ["odd", "odd"]  # at 70x90 and at 80x96
    loaded = cases[0].load(0)
    assert loaded.degraded is not None
    resized = prepare_input(loaded.degraded[None], WEATHERDIFF)
    assert resized.shape[-2:] == (80, 96)
    restored = restorer.posterior(resized[0], Settings("derain", seed=cases[0].sampler_seed(0))).mean[None]
    expected = score(restored, loaded.target[None], WEATHERDIFF)
    assert record.after["weatherdiff"]["psnr"] == pytest.approx(float(expected["psnr"]), abs=1e-9)
    assert (record.height, record.width) == (70, 90)


@dataclass(frozen=True)
class Enlarged:
    """Super-resolution by the bicubic filter, of whatever input a protocol hands over."""

    scale: int
    model: str = "bicubic"
    task: str = "upscale"

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        return [
            Output(enlarged_to(x, *(side * self.scale for side in x.shape[-2:]))) for x in degraded if x is not None
        ]

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        return {}

    def identity(self, case: Case) -> dict[str, object]:
        return {"scale": self.scale}

    def describe(self) -> dict[str, object]:
        return {"model": self.model}


def test_a_protocol_never_scores_the_output_of_another_one(photographs: Path, tmp_path: Path) -> None:
    """24x40 enlarged 4 times is the ground truth's 96x160; as the protocol resizes it, 32x48 becomes 128x192."""
    rng = np.random.default_rng(0)
    for side, size in (("input", (24, 40)), ("target", (96, 160))):
        (tmp_path / side).mkdir()
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / side / "x.png")
    cases = from_folders(tmp_path / "input", tmp_path / "target").cases
    (native,) = evaluate_plan(plan_for(cases, Enlarged(4), protocols=(NATIVE,)))
    assert native.after["native"]
    for protocols in ((NATIVE, WEATHERDIFF), (WEATHERDIFF, NATIVE), (WEATHERDIFF,)):
        (refused,) = evaluate_plan(plan_for(cases, Enlarged(4), protocols=protocols))
        assert "128x192" in refused.failure and "96x160" in refused.failure, protocols
    with pytest.raises(ConfigError, match="two protocols of one name"):
        Scoring((NATIVE, NATIVE))


def test_metrics_of_colours_are_taken_once_and_those_of_channels_for_each_protocol(
    photographs: Path, method: ModelMethod
) -> None:
    cases = from_clean(photographs, ["rain"]).first(1).cases
    (record,) = evaluate_plan(plan_for(cases, method, protocols=(NATIVE, RGB), metrics=("mae", "delta_e", "ms_ssim")))
    native, rgb = record.after["native"], record.after["rgb"]
    assert native["delta_e"] == rgb["delta_e"] and native["mae"] != rgb["mae"]
    assert "ms_ssim" not in rgb  # needs 161 pixels a side; the image keeps its other scores


def test_a_grey_ground_truth_is_scored_on_its_one_channel(tmp_path: Path) -> None:
    """`sr` takes the levels of a grey file as they are: 20 log10(255 / 219) less than the luma of three channels."""
    from skimage.metrics import peak_signal_noise_ratio

    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 256, (60, 70), np.uint8), rng.integers(0, 256, (60, 70, 3), np.uint8)
    for name, array in (("target/x.png", truth), ("output/x.png", output)):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(array).save(tmp_path / name)
    (case,) = from_outputs(tmp_path / "output", tmp_path / "target").cases
    assert case.load(0).gray
    scoring = Scoring((PROTOCOLS["sr"], NATIVE), scale=4)
    (record,) = evaluate_plan(EvaluationPlan([(case, [OutputFolder(tmp_path / "output", Digests())])], scoring))
    saved = np.asarray(Image.fromarray(output).convert("L"))
    inner = (slice(4, -4), slice(4, -4))
    expected = peak_signal_noise_ratio(truth[inner], saved[inner], data_range=255)
    assert record.after["sr"]["psnr"] == pytest.approx(expected, abs=0.01)  # Pillow's luma is rounded otherwise
    whole = peak_signal_noise_ratio(truth, saved, data_range=255) + 20 * math.log10(255 / 219)
    assert record.after["native"]["psnr"] == pytest.approx(whole, abs=0.01)


# ---- folders, cards, tasks -----------------------------------------------------------------------------------------


def test_finished_outputs_score_like_the_model_that_made_them(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    photos = from_folders(pairs / "input", pairs / "target")
    ours = list(evaluate_plan(plan_for(photos.cases, method, keep=tmp_path)))
    folder = kept_path(tmp_path, ours[0]).parent
    theirs = list(
        evaluate_plan(plan_for(from_outputs(folder, pairs / "target").cases, OutputFolder(folder, Digests())))
    )
    assert [r.after for r in theirs] == [r.after for r in ours]
    assert all(not r.before and r.seconds is None and r.task == "" for r in theirs)


def test_images_that_another_run_kept_are_made_again(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    cases = from_folders(pairs / "input", pairs / "target").first(1).cases
    plan = plan_for(cases, method, keep=tmp_path)
    (first,) = evaluate_plan(plan)
    path, own = kept_path(tmp_path, first), kept_path(tmp_path, first).read_bytes()
    asked: list[str] = []
    again = replace(plan, jobs=[(case, [Counted(method, asked)]) for case in cases])
    assert list(evaluate_plan(again, {first.key: first})) == [first] and not asked
    path.write_bytes((pairs / "target" / path.name).read_bytes())
    (made,) = evaluate_plan(again, {first.key: first})
    assert len(asked) == 1 and made.kept == first.kept and path.read_bytes() == own


def test_outputs_are_found_by_name_and_what_is_missing_is_named(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(pairs / "target", folder)
    (folder / "coffee.png").unlink()
    photos = from_outputs(folder, pairs / "target")
    assert len(photos.cases) == 4 and "1 ground truths have no restored image" in photos.notes[0]
    assert "coffee" in photos.notes[0]
    records = list(
        evaluate_plan(plan_for(from_folders(pairs / "input", pairs / "target").cases, OutputFolder(folder, Digests())))
    )
    assert [r.name for r in records if r.failed] == ["coffee"]
    assert all(r.after["rgb"]["psnr"] == math.inf for r in records if not r.failed)
    shutil.copy(folder / "rocket.png", folder / "rocket.bmp")
    with pytest.raises(DataError, match="ambiguous"):
        OutputFolder(folder, Digests())


def test_outputs_of_another_size_are_refused_unless_the_protocol_resizes(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    with Image.open(pairs / "target" / "coffee.png") as image:
        image.resize((64, 48)).save(folder / "coffee.png")
    cases, method = from_outputs(folder, pairs / "target").cases, OutputFolder(folder, Digests())
    (refused,) = evaluate_plan(plan_for(cases, method, protocols=(NATIVE,)))
    assert "48x64" in refused.failure and "96x128" in refused.failure
    (scored,) = evaluate_plan(plan_for(cases, method, protocols=(PROTOCOLS["histoformer"],)))
    assert 10 < scored.after["histoformer"]["psnr"] < 60


def test_a_card_knows_its_protocol_and_clean_cards_need_weather(shared: Path) -> None:
    root = shared / "data" / "super_resolution" / "Kodak24"
    with pytest.raises(ConfigError, match="--degradation"):
        from_card("kodak24", root)
    photos = from_card("kodak24", root, degradations=["rain", "haze"])
    assert len(photos.cases) == 48 and {case.label for case in photos.cases} == {"rain", "haze"}
    assert len(photos.first(3).cases) == 6 and "first 3 of 24" in photos.first(3).notes[0]
    assert not photos.notes  # all of them, and no paper beside them
    raindrop = from_card("raindrop", shared / "data" / "pairs" / "RainDrop_5")
    assert raindrop.card is not None and raindrop.protocols == (raindrop.card.protocol.id,)
    with pytest.raises(ConfigError, match="of its own"):
        from_card("raindrop", shared / "data" / "pairs" / "RainDrop_5", degradations=["rain"])


def test_images_that_may_not_be_those_of_the_papers_are_told(pairs: Path, tmp_path: Path) -> None:
    number, layout = from_card("raindrop", pairs).notes
    assert "split test-a of RainDrop has 58 images, and 5 are here" in number and "plain-input-target" in layout
    for side, end in (("data", "rain"), ("gt", "clean")):
        (tmp_path / "test_a" / side).mkdir(parents=True)
        shutil.copy(pairs / "input" / "coffee.png", tmp_path / "test_a" / side / f"0_{end}.png")
    (number,) = from_card("raindrop", tmp_path).notes
    assert "58 images, and 1 are here" in number
    assert not from_card("folder", pairs).notes


def test_ground_truths_without_an_input_are_named(pairs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pairs, tmp_path / "rainy")
    assert not from_folders(folder / "input", folder / "target").notes
    (folder / "input" / "coffee.png").unlink()
    photos = from_folders(folder / "input", folder / "target")
    assert len(photos.cases) == 4
    assert photos.notes == ("1 ground truths have no input image and were left out: coffee",)


def test_a_known_degradation_is_restored_told_and_blind(restorer: Restorer) -> None:
    assert tasks_for(restorer, "snow") == ["desnow", "weather"]
    assert tasks_for(restorer, "clean") == ["weather"]
    assert tasks_for(restorer, None) == ["weather"]
    assert tasks_for(restorer, "snow", ["derain"]) == ["derain"]
    with pytest.raises(ConfigError, match="does not know task"):
        tasks_for(restorer, "snow", ["colorize"])


def test_a_clean_card_keeps_its_protocol_where_the_degradation_is_its_own(shared: Path) -> None:
    root = shared / "data" / "super_resolution" / "Set5"
    photos = from_card("set5", root, degradations=["bicubic-x3"])
    assert (photos.protocols, photos.scale) == (("sr",), 3)
    assert photos.card is not None
    assert [(score.condition, score.metrics["psnr"]) for score in photos.card.reported] == [("x3", 30.39)]
    for others in (["rain"], ["bicubic-x2", "bicubic-x4"], ["blind-x4"]):
        photos = from_card("set5", root, degradations=others)
        assert photos.protocols == ("native", "rgb")
        assert photos.card is None or not photos.card.reported


def test_low_resolution_folders_tell_their_factor_and_masks_are_found(photographs: Path, tmp_path: Path) -> None:
    assert not [done.error for done in synthesize(photographs, tmp_path / "low", "bicubic-x3") if done.error]
    photos = from_folders(tmp_path / "low" / "input", tmp_path / "low" / "target")
    assert photos.scale == 3 and all(case.mask is None for case in photos.cases)
    made = from_clean(photographs, ["bicubic-x3"])
    assert made.scale == 3
    list(synthesize(photographs, tmp_path / "holes", "mask-box", seed=0))
    holes = from_folders(tmp_path / "holes" / "input", tmp_path / "holes" / "target")
    assert holes.scale is None
    for case, same in zip(holes.cases, from_clean(photographs, ["mask-box"]).cases, strict=True):
        told, drawn = (one.request(Inpainting(), 0, 96, 128).mask for one in (case, same))
        assert told is not None and drawn is not None
        torch.testing.assert_close(told, drawn)
        assert "mask" in {name.partition("/")[0] for name in case.files}
    assert holes.facts["mask"] == str(tmp_path / "holes" / "mask") and "mask" not in photos.facts


def test_a_coloured_mask_is_read_like_any_other(photographs: Path, tmp_path: Path) -> None:
    mask = Image.new("RGB", (128, 96))
    mask.paste((0, 255, 255), (10, 20, 30, 40))  # bright, but for its red
    mask.save(tmp_path / "mask.png")
    case = Case("x", "coffee", photographs / "coffee.png", photographs / "coffee.png", mask=tmp_path / "mask.png")
    told = case.request(Inpainting(), 0, 96, 128).mask
    assert told is not None and torch.equal(told, read_mask(tmp_path / "mask.png")) and told.sum() == 400


def test_a_hole_follows_its_image_through_a_protocol_that_resizes(photographs: Path, tmp_path: Path) -> None:
    list(synthesize(photographs, tmp_path / "holes", "mask-irregular", seed=0))
    made = from_clean(photographs, ["mask-irregular"]).cases[0]
    stored = from_folders(tmp_path / "holes" / "input", tmp_path / "holes" / "target").cases[0]
    for case in (made, stored):
        own = case.request(Inpainting(), 0, 96, 128).mask
        resized = case.request(Inpainting(), 0, 192, 256).mask
        assert own is not None and resized is not None
        assert torch.equal(resized, own.repeat_interleave(2, -1).repeat_interleave(2, -2))
    with Image.open(photographs / "coffee.png") as image:  # a mask of another size is a mistake
        image.convert("L").resize((50, 40)).save(tmp_path / "small.png")
    wrong = Case("x", "coffee", photographs / "coffee.png", photographs / "coffee.png", mask=tmp_path / "small.png")
    with pytest.raises(ConfigError, match="of one size"):
        Inpainting().prepare(torch.zeros(1, 3, 96, 128), wrong.request(Inpainting(), 0, 96, 128))


def test_ground_truths_of_a_low_resolution_are_cut_to_its_multiples(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    with Image.open(photographs / "coffee.png") as image:
        image.crop((0, 0, 101, 67)).save(tmp_path / "clean" / "odd.png")
    list(synthesize(tmp_path / "clean", tmp_path / "low", "bicubic-x4"))
    loaded = from_clean(tmp_path / "clean", ["bicubic-x4"]).cases[0].load(0)
    stored = from_folders(tmp_path / "low" / "input", tmp_path / "low" / "target").cases[0].load(0)
    assert stored.degraded is not None and loaded.degraded is not None
    assert loaded.target.shape == loaded.degraded.shape == (3, 64, 100)
    assert torch.equal(loaded.target, stored.target)
    torch.testing.assert_close(loaded.degraded, enlarged_to(stored.degraded, 64, 100), rtol=0, atol=1.01 / 255)


def test_a_model_of_another_factor_is_refused(photographs: Path) -> None:
    case = from_clean(photographs, ["bicubic-x4"]).cases[0]
    with pytest.raises(ConfigError, match="enlarges images by 2, and resolution makes them 4 times smaller"):
        case.request(SuperResolution(scale=2), 0, 96, 128)
    assert case.request(SuperResolution(scale=4), 0, 96, 128).enlarged


@pytest.mark.parametrize("severity", [-0.1, 1.5])
def test_a_severity_out_of_range_is_told_before_any_work(severity: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        made_cases([], ["rain"], severity)


# ---- failures, resuming --------------------------------------------------------------------------------------------


def test_a_bad_image_is_named_and_stops_no_other(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    folder = shutil.copytree(pairs, tmp_path / "rainy")
    good = (folder / "input" / "chelsea.png").read_bytes()
    (folder / "input" / "chelsea.png").write_bytes(good[: len(good) // 2])
    with Image.open(folder / "target" / "rocket.png") as image:
        smaller = image.crop((0, 0, 100, 90))
    smaller.save(folder / "target" / "rocket.png")
    cases = from_folders(folder / "input", folder / "target").cases
    for batch in (1, 5):
        records = list(evaluate_plan(plan_for(cases, method, batch=batch)))
        assert sorted(r.name for r in records if r.failed) == ["chelsea", "rocket"]
        reasons = {r.name: r.failure for r in records if r.failed}
        assert "chelsea.png" in reasons["chelsea"] and "96x128" in reasons["rocket"]
        assert all(r.after for r in records if not r.failed)


def test_a_stopped_run_continues_and_ends_like_one_that_was_not(
    pairs: Path, method: ModelMethod, tmp_path: Path
) -> None:
    cases = from_folders(pairs / "input", pairs / "target").cases
    whole = list(evaluate_plan(plan_for(cases, method)))
    journal = Journal(tmp_path / "journal.jsonl")
    for _, record in zip(range(2), evaluate_plan(plan_for(cases, method), journal.done), strict=False):
        journal.add(record)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"format": 1, "key": "cut o')  # as a kill in the middle of writing leaves it

    with pytest.raises(ConfigError, match="--resume"):
        Journal(tmp_path / "journal.jsonl")
    asked: list[str] = []
    again = Journal(tmp_path / "journal.jsonl", resume=True)
    resumed = []
    for record in evaluate_plan(plan_for(cases, Counted(method, asked)), again.done):
        again.add(record)
        resumed.append(record)
    assert asked == [case.name for case in cases[2:]]
    assert without_time(resumed) == without_time(whole)
    assert len(Journal(tmp_path / "journal.jsonl", resume=True).done) == 5


def test_records_of_several_machines_keep_their_origins(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    cases = from_folders(pairs / "input", pairs / "target").cases[:3]
    plan, here = plan_for(cases, method), origin_on("cpu")
    first = next(evaluate_plan(plan))
    assert first.origin == here and set(here) >= {"restore", "device"}
    elsewhere = {**here, "device": "another processor"}
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(replace(first, origin=elsewhere))
    done = Journal(tmp_path / "journal.jsonl", resume=True).done
    records = list(evaluate_plan(plan, done))
    assert [record.origin for record in records] == [elsewhere, here, here]
    origins = Provenance.gather(plan, records, {}, torch.device("cpu")).origins
    assert origins == [{**elsewhere, "restorations": 1}, {**here, "restorations": 2}]


def test_equal_outputs_of_two_methods_are_scored_once_and_kept_apart(pairs: Path, tmp_path: Path) -> None:
    folders = [shutil.copytree(pairs / "input", tmp_path / name) for name in ("a", "b")]
    methods = [OutputFolder(folder, Digests()) for folder in folders]
    cases = from_folders(pairs / "input", pairs / "target").cases[:2]
    journal = Journal(tmp_path / "journal.jsonl")
    found = []
    for record in evaluate_plan(plan_for(cases, *methods), journal.done):
        journal.add(record)
        found.append((record.name, record.model))
    assert sorted(found) == sorted((case.name, name) for case in cases for name in ("a", "b"))


def test_a_lack_of_memory_fails_one_image_and_other_errors_all(pairs: Path, method: ModelMethod) -> None:
    @dataclass(frozen=True)
    class Greedy(Counted):
        error: str = ""

        def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
            raise RuntimeError(self.error)

    cases = from_folders(pairs / "input", pairs / "target").cases[:2]
    greedy = Greedy(method, [], error="[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")
    records = list(evaluate_plan(plan_for(cases, greedy, batch=2)))
    assert [record.failure for record in records] == [f"{case.name}: out of memory" for case in cases]
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        list(evaluate_plan(plan_for(cases, Greedy(method, [], error="a mistake of ours"))))


def test_what_a_score_depends_on_makes_it_be_taken_again(pairs: Path, restorer: Restorer, tmp_path: Path) -> None:
    folder = shutil.copytree(pairs, tmp_path / "rainy")
    case = from_folders(folder / "input", folder / "target").cases[0]
    method = ModelMethod("tiny", "derain", restorer, "a")
    key = plan_for([case], method).key(case, method, 0)
    assert plan_for([case], method).key(case, method, 0) == key
    others = [
        plan_for([case], method).key(case, method, 1),
        plan_for([case], method, protocols=(NATIVE,)).key(case, method, 0),
        plan_for([case], method, metrics=("mae",)).key(case, method, 0),
        plan_for([case], method).key(case, ModelMethod("tiny", "derain", restorer, "b"), 0),
        plan_for([case], method).key(case, ModelMethod("tiny", "desnow", restorer, "a"), 0),
        plan_for([case], method).key(case, ModelMethod("tiny", "derain", restorer, "a", Settings(steps=3)), 0),
        plan_for([case], method).key(case, ModelMethod("tiny", "derain", restorer, "a", Settings(samples=2)), 0),
    ]
    assert case.input is not None
    with Image.open(case.input) as image:
        changed = image.rotate(180)
    changed.save(case.input)
    others.append(plan_for([case], method).key(case, method, 0))
    assert len({key, *others}) == len(others) + 1


def test_no_setting_of_a_model_is_left_out_of_what_an_evaluation_continues_from(restorer: Restorer) -> None:
    recipe, case = restorer.recipe, Case("x", "x", Path("x.png"))
    recipes = {
        "schedule": Linear(),
        "sampling_schedule": Linear(),
        "level_scale": 2.0,
        "threshold": NoThreshold(),
        "labels": (*recipe.labels, "one more"),
        "prediction": "eps",
        "dropped": ("label",),
        "tiles": recipe.tiles.model_copy(update={"window": "uniform"}),
        "sampler": recipe.sampler.model_copy(update={"eta": 0.5}),
        "tasks": {**recipe.tasks, "derain": "snow"},
    }
    assert recipes.keys() <= Recipe.model_fields.keys()
    knobs = [
        {"guidance": 2.0},
        {"self_ensemble": 2},
        {"tiles": recipe.tiles.model_copy(update={"size": 2 * recipe.tiles.size})},
        {"steps": 3},
        {"samples": 2},
        {"sampler": recipe.sampler.model_copy(update={"eta": 0.25, "steps": 2})},
        {"label": "rain"},
        {"guide": lambda denoiser: denoiser},
    ]
    left_out = {"task", "request", "seed", "gradients"}  # of the method, of the case, without a part in the result
    assert {name for knob in knobs for name in knob} | left_out == {field.name for field in fields(Settings)}

    def key(settings: Settings = Settings(), **changed: object) -> str:
        method = ModelMethod("tiny", "derain", replace(restorer, **changed), "", settings)  # type: ignore[arg-type]
        return json.dumps(method.identity(case), sort_keys=True)

    others = [key(Settings().changed(**knob)) for knob in knobs] + [key(dtype=torch.bfloat16)]
    for name, value in recipes.items():
        others.append(key(recipe=recipe.model_copy(update={name: value})))
        assert others[-1] != key(), name
    assert len({key(), *others}) == 1 + len(others)
    assert key(recipe=recipe.model_copy(update={"name": "other"})) == key()


def test_a_depth_map_is_a_file_that_scores_depend_on(photographs: Path) -> None:
    plain = Case("haze", "x", photographs / "coffee.png", degradation=Haze())
    deep = replace(plain, degradation=Haze(depth=photographs / "rocket.png"))
    assert deep.files["depth/x"] == photographs / "rocket.png" and "depth/x" not in plain.files


def test_a_journal_that_is_none_is_refused_and_not_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("my diary\nsecond page\n")
    with pytest.raises(ConfigError, match="line 1"):
        Journal(path, resume=True)
    assert path.read_text() == "my diary\nsecond page\n"


scores = st.dictionaries(
    st.sampled_from(["native", "rgb"]),
    st.dictionaries(st.sampled_from(["psnr", "ssim"]), st.floats(0) | st.just(math.inf)),
)


@given(before=scores, after=scores, name=st.text(min_size=1))
def test_records_survive_json(before: dict, after: dict, name: str) -> None:
    record = Record("k", "data", name, "m", "t", 0, 1, 2, 0.5, 3, before, after)
    assert Record.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


def test_nothing_piles_up(photographs: Path, method: ModelMethod, tmp_path: Path) -> None:
    for i in range(12):
        shutil.copy(photographs / "coffee.png", tmp_path / f"{i}.png")

    def held() -> int:
        gc.collect()
        return sum(x.numel() > 10_000 for x in gc.get_objects() if type(x) is Tensor)

    counts = [held() for _ in evaluate_plan(plan_for(from_clean(tmp_path, ["rain"]).cases, method))]
    assert len(counts) == 12 and max(counts) == counts[2]


# ---- summaries -----------------------------------------------------------------------------------------------------


def record_of(name: str, before: float, after: float, model: str = "m", seed: int = 0) -> Record:
    return Record(
        f"{model}{name}{seed}", "set", name, model, "t", seed, 4, 4, 2.0, 6,
        {"rgb": {"psnr": before, "ssim": before / 100}}, {"rgb": {"psnr": after, "ssim": after / 100}},
    )  # fmt: skip


def test_a_row_is_the_mean_over_images_after_the_mean_over_seeds() -> None:
    records = [record_of("a", 20, 22), record_of("a", 20, 26, seed=1), record_of("b", 30, 31)]
    (row,) = summarise_rows(records)
    assert row.images == 2 and row.seeds == 2 and row.improved == 2
    assert row.after["psnr"].mean == pytest.approx((24 + 31) / 2)
    assert row.gain["psnr"].mean == pytest.approx((4 + 1) / 2)
    assert row.seconds == 2.0 and row.tiles == 6
    assert scores_by_image(records, "after", "rgb", "psnr") == {"a": 24, "b": 31}


def test_methods_are_compared_on_the_images_that_both_restored() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(15, 35, 30)
    first = [record_of(str(i), 10, x + 1 + rng.normal(0, 0.1), "first") for i, x in enumerate(hard)]
    second = [record_of(str(i), 10, x, "second") for i, x in enumerate(hard)][:20]
    psnr = next(c for c in compare_methods([*first, *second]) if c.metric == "psnr")
    assert (psnr.first, psnr.second, psnr.difference.count, psnr.first_better) == ("first/t", "second/t", 20, 20)
    assert psnr.difference.mean == pytest.approx(1, abs=0.1) and psnr.difference.clear
    low, high = psnr.difference.low, psnr.difference.high
    assert low is not None and high is not None and high - low < 0.2  # the difficulty of the images is taken out


def test_gain_is_positive_where_it_is_better() -> None:
    record = Record(
        "",
        "d",
        "n",
        "m",
        "t",
        0,
        before={"rgb": {"mae": 9.0, "psnr": math.inf}},
        after={"rgb": {"mae": 4.0, "psnr": 30.0}},
    )
    assert gain_of(record, "rgb", "mae") == 5.0
    assert math.isnan(gain_of(record, "rgb", "psnr")) and math.isnan(gain_of(record, "native", "psnr"))


def test_shown_images_are_those_that_were_scored(photographs: Path, method: ModelMethod) -> None:
    plan = plan_for(from_clean(photographs, ["rain"]).cases, method)
    record = list(evaluate_plan(plan))[3]
    shown = show(plan, record)
    assert shown.degraded is not None
    for pixels, side in ((shown.degraded, record.before), (shown.restored, record.after)):
        assert float(score(pixels[None], shown.target[None], RGB)["psnr"]) == side["rgb"]["psnr"]


def test_shown_images_have_the_size_that_was_scored(photographs: Path, method: ModelMethod, tmp_path: Path) -> None:
    with Image.open(photographs / "coffee.png") as image:
        image.crop((0, 0, 90, 70)).save(tmp_path / "odd.png")
    finished = OutputFolder(tmp_path, Digests())
    plan = plan_for(from_clean(tmp_path, ["rain"]).cases, method, finished, protocols=(WEATHERDIFF, RGB))
    for record in evaluate_plan(plan):
        shown = show(plan, record)
        assert shown.degraded is not None
        assert shown.target.shape == shown.degraded.shape == shown.restored.shape == (3, 80, 96)
        for pixels, side in ((shown.degraded, record.before), (shown.restored, record.after)):
            found = float(score(pixels[None], shown.target[None], WEATHERDIFF)["psnr"])
            assert found == side["weatherdiff"]["psnr"]


def test_samples_are_calibrated_at_the_size_at_which_they_are_restored(
    photographs: Path, restorer: Restorer, tmp_path: Path
) -> None:
    with Image.open(photographs / "coffee.png") as image:
        image.crop((0, 0, 90, 70)).save(tmp_path / "odd.png")
    method = ModelMethod("tiny", "derain", restorer, "", Settings(steps=2, samples=2))
    cases = from_clean(tmp_path, ["rain"]).cases
    for protocols, values in (((WEATHERDIFF,), 3 * 80 * 96), ((WEATHERDIFF, RGB), 3 * 70 * 90)):
        (record,) = evaluate_plan(plan_for(cases, method, protocols=protocols))
        assert record.spread["values"] == values


def test_sets_are_compared_on_what_was_kept(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")

    cases = from_folders(pairs / "input", pairs / "target").cases
    perfect = OutputFolder(pairs / "target", Digests())
    plan = plan_for(cases, method, perfect, keep=tmp_path)
    found = score_sets(plan, list(evaluate_plan(plan)), ["fid"], features=Colours())
    assert found[Series("rainy", "target", "")].after["fid"] == pytest.approx(0, abs=1e-3)
    assert found[Series("rainy", "tiny", "derain")].after["fid"] > 1
    assert found[Series("rainy", "tiny", "derain")].before["fid"] > 1
    assert not found[Series("rainy", "target", "")].notes
    with pytest.raises(ConfigError, match="--keep"):
        score_sets(plan_for(cases, method), [], ["fid"])
    with pytest.raises(ConfigError, match="compares two sets"):
        Scoring((RGB,), ("fid",))


def test_what_is_to_know_of_a_score_of_sets_is_noted(pairs: Path, method: ModelMethod, tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")
    cases = from_folders(pairs / "input", pairs / "target").cases
    plan = plan_for(cases[:1], method, keep=tmp_path / "one")
    (alone,) = score_sets(plan, list(evaluate_plan(plan)), ["fid"], features=Colours()).values()
    assert not alone.after and not alone.before
    assert [note.partition(" could")[0] for note in alone.notes] == ["fid after", "fid before"]
    plan = plan_for(cases, method, keep=tmp_path / "all", seeds=(3, 4))
    (scores,) = score_sets(plan, list(evaluate_plan(plan)), ["kid"], features=Colours()).values()
    assert set(scores.after) == set(scores.before) == {"kid"}
    seed, *deviations = scores.notes
    assert seed == "kid: over the restorations of seed 3 alone"
    assert [note.split(" has a standard deviation of ")[0] for note in deviations] == ["kid after", "kid before"]


def test_origin_is_that_of_the_files_not_of_their_folder(pairs: Path, tmp_path: Path) -> None:
    def digest(folder: Path) -> str | None:
        cases = from_folders(folder / "input", folder / "target").cases
        records = [record_of(case.name, 1, 2) for case in cases]
        return data_digest([Case("set", c.name, c.target, c.input) for c in cases], records, Digests())

    moved = shutil.copytree(pairs, tmp_path / "elsewhere")
    assert digest(pairs) == digest(moved)
    shutil.copy(moved / "target" / "coffee.png", moved / "target" / "rocket.png")
    assert digest(pairs) != digest(moved)


def test_the_process_knows_its_memory_and_its_commit() -> None:
    assert 50 < peak_memory(torch.device("cpu"))["process"] < 1e6
    commit = find_commit()
    assert commit is None or len(commit.rstrip("+")) == 40
