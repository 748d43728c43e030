"""A training run: it learns, it can be interrupted anywhere, and it says what is wrong."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore.degradations import LABELS
from restore.degradations.color_augmentation import ColorAugmentation
from restore.errors import CheckpointError, ConfigError, DataError
from restore.models import native
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.tasks import Prepared
from restore.training.batches import Batches
from restore.training.config import TrainConfig, TrainingStage, load_train_config
from restore.training.sources import PairedFolders
from restore.training.trainer import Progress, Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def of(output: Path, photographs: Path, recipe: Recipe) -> TrainConfig:
    return TrainConfig(
        model=recipe,
        data={"kind": "clean", "folders": [photographs]},
        output=output,
        stages=[{"until": 4, "patch": 16, "regions": 2, "patches": 2}, {"until": 6, "patch": 32, "regions": 2}],
        region=64,
        validation={"every": 3, "images": 1, "size": 64},
        optimizer={"rate": 1e-3, "warmup": 2},
        save_every=100,
    )


@pytest.fixture
def config(tmp_path: Path, photographs: Path, tiny_recipe: Recipe) -> TrainConfig:
    return of(tmp_path / "run", photographs, tiny_recipe)


@dataclass(frozen=True)
class Run:
    """A run that went on to its end, for all tests that only look at it."""

    config: TrainConfig
    progress: list[Progress]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photographs: Path, tiny_recipe: Recipe) -> Run:
    config = of(tmp_path_factory.mktemp("whole") / "run", photographs, tiny_recipe)
    return Run(config, list(Trainer(config, device="cpu")))


def losses(config: TrainConfig) -> list[float]:
    return [json.loads(line)["loss"] for line in (config.output / "log.jsonl").read_text().splitlines()]


def test_an_interrupted_run_is_the_same_run(config: TrainConfig, whole: Run) -> None:
    other = config
    for cut in (2, 5):
        trainer = Trainer(other, resume=True, device="cpu")
        for progress in trainer:
            if progress.step == cut:
                break
        trainer.save()
    for _ in Trainer(other, resume=True, device="cpu"):
        pass
    assert losses(other) == losses(whole.config)
    weights, parts = (native.load(c.output / "model.safetensors") for c in (whole.config, other))
    assert all(torch.equal(weights[key], parts[key]) for key in weights)


def test_dropout_is_resumed_too(config: TrainConfig, tmp_path: Path) -> None:
    network = {"kind": "unet", "stem": 8, "channels": (8, 16), "blocks": 1, "groups": 4, "dropout": 0.5}
    document = config.model_dump()
    document["model"]["network"] = network
    document["model"]["level_input"] = "t"
    document["validation"]["images"] = 0
    document["stages"] = [{"until": 3, "patch": 16, "regions": 1, "patches": 2}]
    whole = TrainConfig(**document)
    parts = whole.model_copy(update={"output": tmp_path / "interrupted"})
    for _ in Trainer(whole, device="cpu"):
        pass
    trainer = Trainer(parts, device="cpu")
    next(iter(trainer))
    trainer.save()
    torch.rand(3)  # other work of the process
    for _ in Trainer(parts, resume=True, device="cpu"):
        pass
    assert losses(parts) == losses(whole)


def test_every_held_out_image_is_looked_at_once(config: TrainConfig, photographs: Path) -> None:
    pairs = {"kind": "pairs", "input": photographs, "target": photographs}
    for data in (config.data, pairs):
        document = {**config.model_dump(), "data": data, "validation": {"images": 4, "size": 64}}
        trainer = Trainer(TrainConfig(**document), device="cpu")
        for _, example, clean in trainer.held_out.examples():
            assert len(example.image) == len(clean) == 4
            assert len({image.numpy().tobytes() for image in clean}) == 4


def test_damaged_images_that_are_held_out_stop_no_run(config: TrainConfig, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some_broken"
    shutil.copytree(photographs, folder)
    document = {**config.model_dump(), "data": {"kind": "clean", "folders": [folder], "corrupt_limit": 0.5}}
    document["validation"]["images"] = 2
    held = Trainer(TrainConfig(**document), device="cpu").batches.held_out["unknown"]
    for (path,) in held.groups:
        path.write_bytes(b"no image")
    trainer = Trainer(TrainConfig(**document), device="cpu")
    assert not trainer.batches.held_out and trainer.validate() == {}
    document["data"]["corrupt_limit"] = 0
    with pytest.raises(DataError, match="damaged"):
        Trainer(TrainConfig(**document), device="cpu")


def test_a_device_that_is_not_there_is_named(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        Trainer(config, device="banana")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="finds no CUDA device"):
            Trainer(config, device="cuda")


def test_every_stage_is_shared_by_all_processes_or_none(config: TrainConfig) -> None:
    stages = [TrainingStage(until=4, patch=16, regions=2), TrainingStage(until=6, patch=16, regions=3)]
    with pytest.raises(ConfigError, match="3 regions cannot be shared by 2"):
        Batches(config.model_copy(update={"stages": tuple(stages)}), torch.device("cpu"), 0, 2)


def test_what_is_shown_no_thumbnail_is_not_trained(config: TrainConfig) -> None:
    document = config.model_dump()
    document["model"]["tiles"]["context"] = 0
    trainer = Trainer(TrainConfig(**document), device="cpu")
    for group in trainer.optimizer.param_groups:
        group["lr"] = 3e-3
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer._update(*trainer.batches(0))
    changed = {name for name, value in trainer.network.named_parameters() if not torch.equal(value, before[name])}
    assert "stem.weight" in changed
    context = {name for name in before if name.startswith("context.")}
    assert context and not changed & context
    assert not any(p.requires_grad for p in trainer.network.context.parameters())


def test_colors_are_augmented_before_photographs_are_degraded(config: TrainConfig) -> None:
    document = config.model_dump()
    document["data"]["degradation"]["weights"] = {"clean": 1.0}
    document["data"]["degradation"]["camera"] |= {"noise_chance": 0.0, "compression_chance": 0.0}
    plain, condition = Batches(TrainConfig(**document), torch.device("cpu"))(1)
    assert torch.equal(plain, condition.image)
    still = {"contrast": (1.0, 1.0), "brightness": (0.0, 0.0), "saturation": (1.0, 1.0), "gray": 0.0}
    document["data"]["color_augmentation"] = {"chance": 1.0, "gamma": (0.5, 0.5), "sharpness_chance": 0.0, **still}
    brighter, condition = Batches(TrainConfig(**document), torch.device("cpu"))(1)
    # the ground truth has the other colours, too
    assert torch.equal(brighter, condition.image)
    torch.testing.assert_close((brighter + 1) / 2, ((plain + 1) / 2).clamp(0, 1).sqrt(), atol=1e-5, rtol=0)


def test_regions_of_clean_photographs_are_zoomed_for_training_alone(config: TrainConfig) -> None:
    document = config.model_dump()
    plain, zoomed = (
        Batches(TrainConfig(**document | {"data": document["data"] | {"zoom": zoom}}), torch.device("cpu"))
        for zoom in ((1.0, 1.0), (2.0, 2.0))
    )
    rough = [sampler(1)[0].diff(dim=-1).abs().mean() for sampler in (plain, zoomed)]
    assert rough[1] < 0.8 * rough[0]
    for name, store in plain.held_out.items():
        assert torch.equal(store.each(32), zoomed.held_out[name].each(32))  # type: ignore[arg-type]


def test_a_run_that_is_over_belongs_to_another_config(whole: Run) -> None:
    config = whole.config
    shorter = config.model_copy(update={"stages": (config.stages[0].model_copy(update={"until": 3}),)})
    with pytest.raises(ConfigError, match=r"is of step 6, and this run ends at step 3: it belongs to another run"):
        Trainer(shorter, resume=True, device="cpu")


def test_steps_after_the_last_save_are_not_logged_twice(config: TrainConfig) -> None:
    trainer = Trainer(config, device="cpu")
    for progress in trainer:
        if progress.step == 2:
            trainer.save()
        if progress.step == 3:
            break
    for _ in Trainer(config, resume=True, device="cpu"):
        pass
    steps = [json.loads(line)["step"] for line in (config.output / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 7))


def test_the_loss_falls_on_one_batch(config: TrainConfig) -> None:
    trainer = Trainer(config, device="cpu")
    batch = trainer.batches(0)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 3e-3
    values = [trainer._update(*batch) for _ in range(40)]
    assert sum(values[-5:]) < 0.8 * sum(values[:5])


@pytest.mark.parametrize("ema", [0.3, 0.999])
def test_the_decay_of_the_average_grows_until_it_is_ema(config: TrainConfig, ema: float) -> None:
    trainer = Trainer(config.model_copy(update={"ema": ema}), device="cpu")
    for group in trainer.optimizer.param_groups:
        group["lr"] = 3e-3
    average = torch.zeros(())
    for step in range(5):
        trainer.step = step
        trainer._update(*trainer.batches(step))
        weight = trainer.network.state_dict()["stem.weight"]
        decay = min(ema, 1 - step ** (-2 / 3)) if step else 0.0
        average = decay * average + (1 - decay) * weight
    assert not torch.allclose(average, weight)
    torch.testing.assert_close(trainer.ema.module.state_dict()["stem.weight"], average)


def test_ema_counts_where_the_decay_has_grown_to_it(config: TrainConfig) -> None:
    decays = [
        [Trainer(config.model_copy(update={"ema": ema}), device="cpu").ema.get_decay(n) for n in (2300, 40000)]
        for ema in (0.999, 0.9999)
    ]
    assert decays == [pytest.approx([0.99426, 0.999], abs=1e-5), pytest.approx([0.99426, 0.999145], abs=1e-5)]


def test_a_batch_does_not_depend_on_how_many_processes_share_it(config: TrainConfig) -> None:
    whole, condition = Batches(config, torch.device("cpu"))(1)
    halves = [Batches(config, torch.device("cpu"), rank, 2)(1) for rank in range(2)]
    assert torch.equal(whole, torch.cat([x0 for x0, _ in halves]))
    assert torch.equal(condition.image, torch.cat([c.image for _, c in halves]))
    assert torch.equal(condition.label, torch.cat([c.label for _, c in halves]))


def test_no_batch_reads_what_lies_on_a_device(config: TrainConfig, photographs: Path) -> None:
    """The meta device stands for a GPU: it has no values, and whatever would wait for one fails."""
    colors = config.data.model_copy(update={"color_augmentation": ColorAugmentation(balance=0.1, light=0.2)})
    pairs = PairedFolders(input=photographs, target=photographs)
    for data in (colors, pairs):
        batches = Batches(config.model_copy(update={"data": data, "image_drop": 0.3}), torch.device("meta"))
        for step in range(6):
            x0, condition = batches(step)
            assert x0.shape[0] == len(condition.label) and condition.image.device.type == "meta"


def test_runs_of_one_process_may_differ_in_precision(config: TrainConfig, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16", "fp32"):
        changed = config.model_copy(update={"precision": precision, "output": tmp_path / f"as {precision}"})
        trainer = Trainer(changed, resume=True, device="cpu")
        assert trainer.accelerator.mixed_precision == {"fp32": "no", "bf16": "bf16"}[precision]
        assert math.isfinite(trainer._update(*trainer.batches(0)))


def test_pairs_are_trained_on_with_their_label(config: TrainConfig, photographs: Path) -> None:
    pairs = {"kind": "pairs", "input": photographs, "target": photographs, "label": "rain"}
    config = TrainConfig(**{**config.model_dump(), "data": pairs, "label_drop": 0.0})
    x0, condition = Batches(config, torch.device("cpu"))(0)
    assert torch.equal(x0, condition.image)
    assert condition.label.tolist() == [1] * 4
    trainer = Trainer(config, device="cpu")
    assert [p.step for p in trainer] == list(range(1, 7))


@pytest.fixture
def rainy(tmp_path: Path, photographs: Path) -> Path:
    """Rain800's layout, each file a photograph beside its negative."""
    folder = tmp_path / "Rain800" / "training"
    folder.mkdir(parents=True)
    for path in photographs.iterdir():
        clean = np.asarray(Image.open(path))
        Image.fromarray(np.concatenate([clean, 255 - clean], axis=1)).save(folder / path.name)
    return folder.parent


def test_a_card_is_trained_on_with_its_label(config: TrainConfig, rainy: Path) -> None:
    data = {"kind": "card", "card": "rain800", "root": rainy}
    config = TrainConfig(**{**config.model_dump(), "data": data, "label_drop": 0.0})
    sampler = Batches(config, torch.device("cpu"))
    x0, condition = sampler(0)
    torch.testing.assert_close(x0, -condition.image)
    assert condition.label.tolist() == [1] * 4
    assert sampler.report() == [
        "5 pairs of rain800 (split train, layout authors)",
        "training on 4 images, decoded once into memory; 1 more are held out",
        "1 process makes the regions of each step",
    ]
    parts = [Batches(config, torch.device("cpu"), rank, 2)(0)[0] for rank in range(2)]
    assert torch.equal(torch.cat(parts), x0)
    scores = [p.validation for p in Trainer(config, device="cpu")]
    assert set(scores[-1]) == {"rain"}


def test_joined_sets_give_every_region_its_own_label(config: TrainConfig, rainy: Path, photographs: Path) -> None:
    folder = rainy.parent / "veiled"
    for side in ("input", "target"):
        (folder / side).mkdir(parents=True)
        for path in photographs.iterdir():
            Image.open(path).save(folder / side / path.name)
    cards = [{"card": "rain800", "root": rainy}, {"card": "o-haze", "root": folder}]
    changes = {"data": {"kind": "cards", "cards": cards}, "label_drop": 0.0, "stages": [{"until": 4, "patch": 16}]}
    config = TrainConfig(**{**config.model_dump(), **changes, "validation": {"every": 4, "images": 4, "size": 64}})
    x0, condition = Batches(config, torch.device("cpu"))(0)
    same = [torch.equal(a, b) for a, b in zip(x0, condition.image, strict=True)]
    assert [LABELS[label] for label in condition.label] == ["haze" if equal else "rain" for equal in same]
    assert {True, False} == set(same)
    streamed = TrainConfig(**{**config.model_dump(), "data": {**changes["data"], "memory_mb": 0.1}})
    again, told = Batches(streamed, torch.device("cpu"))(0)
    assert torch.equal(again, x0) and torch.equal(told.label, condition.label)
    assert set([p.validation for p in Trainer(config, device="cpu")][-1]) == {"rain", "haze"}


def test_clean_cards_are_degraded_on_the_fly(config: TrainConfig, photographs: Path) -> None:
    """By a card or by its folder: the same run."""
    data = {"kind": "card", "card": "kodak24", "split": "test", "root": photographs}
    card = TrainConfig(**{**config.model_dump(), "data": data})
    for step in (0, 5):
        (x0, told), (other, known) = (Batches(one, torch.device("cpu"))(step) for one in (card, config))
        assert torch.equal(x0, other) and torch.equal(told.image, known.image) and torch.equal(told.label, known.label)


def test_the_result_restores_and_carries_its_recipe(whole: Run) -> None:
    config, scores = whole.config, [p.validation for p in whole.progress]
    assert [bool(s) for s in scores] == [False, False, True, False, False, True]
    assert (config.output / "validation" / "0000006.png").is_file()
    restorer = Restorer.from_pretrained(config.output / "model.safetensors", device="cpu")
    # what was left out at times is known to the result only
    assert restorer.recipe == config.model.model_copy(update={"dropped": ("label",)})
    assert restorer.batch(Prepared(torch.zeros(1, 3, 30, 50))).mean.shape == (1, 3, 30, 50)


def test_patches_begin_where_blocks_of_a_file_begin(config: TrainConfig) -> None:
    corners = []
    for align in (1, 16):
        sampler = Batches(config.model_copy(update={"align": align}), torch.device("cpu"))
        found = torch.cat([sampler(step)[1].box for step in range(4)])
        corners.append((found[:, :2] * config.region % 16).abs().sum().item())
    assert corners[0] > 0
    assert corners[1] == 0


def test_starting_from_another_model(config: TrainConfig, tiny_model: Path) -> None:
    started = config.model_copy(update={"start_from": str(tiny_model)})
    trainer = Trainer(started, device="cpu")
    assert torch.equal(trainer.network.state_dict()["stem.weight"], native.load(tiny_model)["stem.weight"])
    next(iter(trainer))
    trainer.save()
    # a run that goes on has no need of the model that it began with
    Trainer(config.model_copy(update={"start_from": "gone.safetensors"}), resume=True, device="cpu")


def test_a_larger_network_goes_on_from_a_smaller_one(config: TrainConfig, tiny_model: Path) -> None:
    document = {**config.model_dump(), "start_from": str(tiny_model)}
    document["model"]["network"]["blocks"] = tuple(n + 1 for n in config.model.network.blocks)
    trainer = Trainer(TrainConfig(**document), device="cpu")
    trainer.save()
    models = [trainer.config.output / "model.safetensors", tiny_model]
    larger, small = (Restorer.from_pretrained(path, "cpu", torch.float32) for path in models)
    image = Prepared(torch.rand(1, 3, 32, 48))
    torch.testing.assert_close(larger.batch(image).mean, small.batch(image).mean)


def test_starting_from_a_model_of_another_shape_names_it(config: TrainConfig, tiny_model: Path) -> None:
    document = {**config.model_dump(), "start_from": str(tiny_model)}
    document["model"]["network"]["channels"] = (8, 24)
    with pytest.raises(CheckpointError, match=r"does not fit its network.*\(16,"):
        Trainer(TrainConfig(**document), device="cpu")


def test_more_sampling_steps_than_levels_are_refused_before_the_first_step(config: TrainConfig) -> None:
    document = config.model_dump()
    document["model"]["sampler"] = {"kind": "ddim", "steps": 5000}
    with pytest.raises(ConfigError, match="between 1 and 1000"):
        Trainer(TrainConfig(**document), device="cpu")


def test_a_run_is_not_overwritten(whole: Run) -> None:
    config = whole.config
    with pytest.raises(ConfigError, match="--resume"):
        Trainer(config, device="cpu")


def test_a_schedule_that_was_learned_before_is_kept(config: TrainConfig) -> None:
    document = config.model_dump()
    document["model"]["schedule"] = {"kind": "learned", "steps": 20, "table": [8.0 - i for i in range(20)]}
    document["stages"] = [{"until": 1, "patch": 16, "regions": 2}]
    trainer = Trainer(TrainConfig(**document), device="cpu")
    for _ in trainer:
        pass
    saved = native.read_metadata(trainer.last.with_name("model.safetensors"))["recipe"]["schedule"]
    assert saved["table"] == [8.0 - i for i in range(20)]


def test_a_model_without_its_state_is_not_overwritten(config: TrainConfig) -> None:
    trainer = Trainer(config, device="cpu")
    trainer.save()
    trainer.last.unlink()
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"holds a model, but no last\.pt"):
            Trainer(config, resume=resume, device="cpu")


def test_a_run_that_was_killed_before_its_first_save_leaves_no_steps_behind(config: TrainConfig) -> None:
    for _ in range(2):
        for progress in Trainer(config, device="cpu"):
            if progress.step == 2:
                break
        assert len(losses(config)) == 2


def test_made_weather_has_the_models_own_labels(config: TrainConfig) -> None:
    document = config.model_dump()
    document["model"] |= {"labels": ("unknown", "haze", "rain"), "tasks": {"weather": "unknown", "derain": "rain"}}
    document["data"]["degradation"]["weights"] = {"rain": 1.0, "snow": 1.0, "haze": 1.0}
    document |= {"label_drop": 0.0, "stages": [{"until": 1, "patch": 16, "regions": 24}]}
    theirs = Batches(config.model_copy(update=dict(TrainConfig(**document))), torch.device("cpu"))(0)[1].label
    document["model"]["labels"] = LABELS
    usual = Batches(config.model_copy(update=dict(TrainConfig(**document))), torch.device("cpu"))(0)[1].label
    names = ["unknown" if LABELS[i] == "snow" else LABELS[i] for i in usual.tolist()]
    assert set(names) == {"unknown", "rain", "haze"}
    assert [("unknown", "haze", "rain")[i] for i in theirs.tolist()] == names


def test_a_damaged_checkpoint_is_named(config: TrainConfig) -> None:
    config.output.mkdir()
    (config.output / "last.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
        Trainer(config, resume=True, device="cpu")


def test_a_label_that_the_network_does_not_see_cannot_guide(config: TrainConfig) -> None:
    assert config.trained.dropped == ("label",)
    assert load_train_config("weatherdiff64").trained.dropped == ()
    document = config.model_dump()
    document["model"] |= {"labels": ("unknown",), "tasks": {"weather": "unknown"}}
    assert TrainConfig(**document).trained.dropped == ()


def test_stages_follow_each_other(config: TrainConfig) -> None:
    assert [config.stage(step).patch for step in range(6)] == [16, 16, 16, 16, 32, 32]
    assert config.steps == 6
    assert TrainingStage(until=1).patch == 64
