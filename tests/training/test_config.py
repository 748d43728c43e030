"""Training runs as documents: what is refused, and how it is told."""

from __future__ import annotations

import pytest

from restore.errors import ConfigError
from restore.training.config import load_train_config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.raet=1", "optimizer.raet"),
        ("stages=[{until: 5}, {until: 3}]", "must increase"),
        ("stages=[{until: 5, patch: 20}]", "multiple of 16"),
        ("model.tasks={derain: rian}", "rian"),
        ("model.network.labels=3", "too few for the 7 labels"),
        ("ema=2", "ema"),
        ("model.network.blocks=[1, 2]", "one number for each level, not 4 and 2"),
        ("model.network.context=1", "at least 2"),
        ("model.tiles={size: 64, multiple: 8, overlap: 8}", "tiles.multiple must be a multiple of 16"),
        ("data.folders", "key.sub=value"),
        ("optimizer.final_rate=1", r"final_rate=1\.0 is above optimizer\.rate=0\.0"),
        ("align=129", "a patch of 192 one place in a region of 320: set align to 128"),
        ("data.degradation.haze.transmission=[0.5, 3]", r"haze\.transmission: the bounds 0\.5 and 3\.0 must lie"),
    ],
)
def test_bad_values_are_named_with_their_path(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config("weather", [override])


def test_a_region_that_is_one_patch_has_one_place_anyway() -> None:
    assert load_train_config("weather", ["region=192"]).align == 16


@pytest.mark.parametrize("name", ["inpaint", "uncrop"])
def test_a_hole_cannot_be_dropped_with_its_image(name: str) -> None:
    with pytest.raises(ConfigError, match="image_drop takes the mask"):
        load_train_config(name, ["image_drop=0.1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.foldrs=[x]", r"there is no key data\.foldrs in kind clean; did you mean folders\?$"),
        ("data.kind=cards", r"there is no key data\.folders in kind cards(; (?!did you mean)|$)"),
        ("validation.evry=3", r"there is no key validation\.evry; did you mean every"),
        ("stages=[{until: 5, ptch: 64}]", r"there is no key stages\.0\.ptch; did you mean patch"),
        ("model.network.blocks=[1, 2]", r"given: model\.network: channels and blocks need"),
        ("model.tasks={derain: rian}", r"given: model: task 'derain' asks for label 'rian'"),
        ("data={kind: clean}", r"given: data\.folders: Field required"),
    ],
)
def test_a_mistyped_key_is_told_as_it_was_written_and_what_was_meant(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config("weather", [override])


def test_known_pixels_have_no_bound_in_continuous_time() -> None:
    with pytest.raises(ConfigError, match="no meaning for known pixels"):
        load_train_config("inpaint", ["objective={kind: continuous_bound}", "model.schedule={kind: learned}"])


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("detector", "objective={kind: simple}", "objective kind simple trains a model of kind model, not detector"),
        ("weather", "objective={kind: recognition}", "kind recognition trains a model of kind detector, not model"),
        ("detector", "label_drop=0.1", "objective kind recognition needs every label and restores nothing"),
        ("detector", "image_drop=0.1", "an image that is left out has nothing to recognise"),
        ("detector", "model.network.labels=3", r"network\.labels=3 does not fit the 7 labels of the detector"),
        ("weather", "model.schedule={kind: learned}", "trained by objective kind continuous_bound alone, not by"),
        ("weather", "objective={kind: continuous_bound}", "trains a schedule of kind learned, not a fixed one"),
    ],
)
def test_an_objective_says_what_it_trains_and_needs(name: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config(name, [override])


def test_a_learned_schedule_that_has_its_table_is_not_learned_again() -> None:
    table = "{kind: learned, steps: 2, table: [3.0, -3.0]}"
    with pytest.raises(ConfigError, match=r"has no table yet: leave schedule\.table out"):
        load_train_config("weather", ["objective={kind: continuous_bound}", f"model.schedule={table}"])
    assert load_train_config("weather", [f"model.schedule={table}"]).objective.kind == "simple"


def test_auxiliary_recipes_hold_nothing_that_counts_for_nothing() -> None:
    detector = load_train_config("detector").model
    assert detector.parameterization() is None and not {"schedule", "tiles"} & set(dir(detector))
    assert load_train_config("detector").thumbnail == 0 and load_train_config("weather").thumbnail > 0
