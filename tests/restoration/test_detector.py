"""The detector: what is decided, by whom, and how detectors are trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from restore import Restorer
from restore.degradations import LABELS, Haze, Mixture, Rain, Random, Snow
from restore.degradations.color_augmentation import ColorAugmentation
from restore.errors import ConfigError
from restore.evaluation.scoring import ModelMethod, tasks_for
from restore.images import to_photo
from restore.models import native
from restore.networks import TwoViewsSpec
from restore.restoration.detector import AUTO, Detector, decide
from restore.system import resources
from restore.tasks import Detection
from restore.training.config import load_train_config
from restore.training.trainer import Trainer


@pytest.fixture
def restorer(tiny_model: Path) -> Restorer:
    return Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)


def test_an_unsure_answer_is_mixed() -> None:
    assert decide({"rain": 0.6, "snow": 0.4}, 0.65, 0.6).label == "rain"
    unsure = decide({"mixed": 0.1, "rain": 0.25, "snow": 0.15, "clean": 0.5}, 0.65, 0.6)
    assert (unsure.kind, unsure.label, unsure.clean, unsure.confidence) == ("mixed", "unknown", False, 0.5)
    assert str(unsure) == "mixed, rain by 50 % only" and str(decide({"clean": 1.0}, 0.65, 0.5)) == "clean, 100 %"
    assert str(decide({"mixed": 0.9, "rain": 0.1}, 0.65, 0.5)) == "mixed, 90 %"
    probabilities = {"mixed": 0.1, "rain": 0.25, "snow": 0.15, "clean": 0.5}
    assert unsure.document() == {"kind": "mixed", "confidence": 0.5, "probabilities": probabilities}


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (70, 50)])
def test_images_of_any_size_and_kind_are_judged(sure_of: Callable[[str], Detector], size: tuple[int, int]) -> None:
    detector = sure_of("snow")
    for array in (np.zeros(size, np.uint8), np.zeros((*size, 3), np.float32), np.zeros((*size, 4), np.uint8)):
        decision = detector(array)
        assert decision.kind == "snow" and sum(decision.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert list(decision.probabilities) == ["mixed", *LABELS[1:]]


def test_other_models_are_no_detectors_and_a_detector_restores_nothing(tiny_model: Path) -> None:
    for model in (tiny_model, "weather", "weatherdiff64"):
        with pytest.raises(ConfigError, match=f"{model} is no detector"):
            Detector.from_pretrained(model)
    with pytest.raises(ConfigError, match="is a detector: it tells --task auto"):
        Restorer.from_pretrained("detector")


def test_auto_is_evaluated_beside_other_tasks(restorer: Restorer) -> None:
    assert tasks_for(restorer, "snow", labels=["true", "blind", "detected"]) == ["desnow", "weather", AUTO]
    assert tasks_for(restorer, "snow", [AUTO, "derain"], ["detected"]) == [AUTO, "derain"]
    assert tasks_for(restorer, None, labels=["true", "blind"]) == ["weather"]
    with pytest.raises(ConfigError, match="does not know task 'dance'"):
        tasks_for(restorer, "snow", ["dance"], ["true"])
    sighted = replace(restorer, recipe=restorer.recipe.model_copy(update={"tasks": {"derain": "rain"}}))
    with pytest.raises(ConfigError, match="has no blind label; its tasks are derain"):
        tasks_for(sighted, "rain", labels=["blind"])
    method = ModelMethod("tiny", AUTO, restorer, "")
    assert method.describe()["label"] == AUTO and "detector" in method.identity(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="bits per dimension"):
        ModelMethod("tiny", AUTO, restorer, "", likelihood=True)


def test_faint_weather_counts_as_none() -> None:
    clean = torch.rand(6, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    weather, seeds = Mixture(weights={"snow": 1.0, "rain+snow": 1.0}), range(6)
    faint = Detection(faint=0.3).examples(weather)(clean, Random(seeds), 0.2)
    heavy = Detection(faint=0.3).examples(weather)(clean, Random(seeds), 0.4)
    assert set(faint.label.tolist()) == {LABELS.index("clean")}
    assert set(heavy.label.tolist()) == {LABELS.index("snow"), LABELS.index("unknown")}
    assert heavy.image.min() >= -1 and heavy.image.max() <= 1


def test_augmented_images_stay_images_and_depend_on_their_own_seed() -> None:
    clean = torch.rand(8, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    together = ColorAugmentation(chance=0.8, gray=0.5, sharpness_chance=0.8)(clean, Random(range(8)))
    alone = ColorAugmentation(chance=0.8, gray=0.5, sharpness_chance=0.8)(clean[3:4], Random([3]))
    assert together.min() >= 0 and together.max() <= 1 and not torch.equal(together, clean)
    torch.testing.assert_close(together[3:4], alone)
    assert torch.equal(ColorAugmentation(chance=0, gray=0, sharpness_chance=0)(clean, Random(range(8))), clean)


def test_light_and_white_balance_are_gains() -> None:
    """White balance multiplies each channel by one number, light all channels of a pixel by one, which is smooth."""
    clean = torch.full((64, 3, 24, 32), 0.2)
    same = {"gamma": (1, 1), "contrast": (1, 1), "brightness": (0, 0), "saturation": (1, 1), "gray": 0.0}
    plain = ColorAugmentation(chance=1.0, sharpness_chance=0.0, **same)
    torch.testing.assert_close(plain(clean, Random(range(64))), clean)
    balanced = plain.model_copy(update={"balance": 0.1})(clean, Random(range(64))) / clean
    assert (balanced.amax((2, 3)) - balanced.amin((2, 3))).max() < 1e-5
    assert abs(balanced[..., 0, 0].log().std() - 0.1) < 0.02
    lit = plain.model_copy(update={"light": 0.2})(clean, Random(range(64))) / clean
    assert (lit.amax(1) - lit.amin(1)).max() < 1e-5 and lit.diff(dim=-1).abs().max() < 0.15
    assert 0.1 < lit.log().std((1, 2, 3)).mean() < 0.3
    # and what is not toned is not lit
    assert torch.equal(
        ColorAugmentation(chance=0, gray=0, sharpness_chance=0, light=0.5)(clean, Random(range(64))), clean
    )


def test_a_trained_detector_is_a_file_that_decides(
    small_detector: TwoViewsSpec, photographs: Path, tmp_path: Path
) -> None:
    config = load_train_config(
        "detector",
        [
            f"data.folders=[{photographs}]",
            f"output={tmp_path / 'run'}",
            f"model.network={json.dumps(small_detector.model_dump())}",
            "region=64",
            "stages=[{until: 2, patch: 64, regions: 4, patches: 1}]",
        ],
    )
    steps = list(Trainer(config, device="cpu"))
    assert [step.step for step in steps] == [1, 2]
    detector = Detector.from_pretrained(tmp_path / "run" / "model.safetensors", device="cpu")
    assert detector.recipe == config.model and detector(data.coffee()).kind in {"mixed", *LABELS}


def test_detectors_and_their_objective_belong_together() -> None:
    for change in ("objective={kind: simple}", "label_drop=0.1", "validation.images=2", "model.network.labels=6"):
        with pytest.raises(ConfigError, match="detector"):
            load_train_config("detector", [change])


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_the_detector_that_ships_knows_the_obvious(name: str) -> None:
    detector = Detector.from_pretrained(device="cpu")
    clean = to_photo(getattr(data, name)()).pixels[None] / 2 + 0.5
    assert detector(clean[0] * 2 - 1).kind == "clean"
    for kind in (Snow(), Haze(), Rain()):
        assert detector(kind(clean, Random([3]), 0.7)[0] * 2 - 1).kind == kind.kind


def test_the_detector_that_ships_is_small() -> None:
    path = resources.weights_path("detector")
    assert path.stat().st_size <= 2e6
    assert 2e5 < sum(tensor.numel() for tensor in native.load(path).values()) < 1e6


@pytest.mark.parametrize("name", ["detector_first", "detector_second", "detector"])
def test_pale_photographs_are_among_what_detectors_are_trained_on(name: str) -> None:
    config = load_train_config(name)
    assert config.data.color_augmentation is not None and config.data.color_augmentation.contrast[0] < 1
