"""The color augmentation under the name that older files and configs have for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from restore.degradations.color_augmentation import ColorAugmentation
from restore.errors import ConfigError
from restore.models.auxiliary import DetectorRecipe
from restore.schema import parse
from restore.training.config import load_train_config
from restore.training.sources import Source


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "clean", "folders": ["photographs"]},
        {"kind": "card", "card": "div2k", "root": "photographs"},
        {"kind": "cards", "cards": [{"card": "div2k", "root": "photographs"}]},
    ],
)
def test_sources_read_the_old_key(document: dict[str, Any]) -> None:
    old = parse(Source, {**document, "retouch": {"kind": "retouch", "gray": 0.3}}, "data")
    assert old == parse(Source, {**document, "color_augmentation": {"gray": 0.3}}, "data")
    assert "retouch" not in str(old.model_dump(mode="json"))
    none = parse(Source, {**document, "retouch": None}, "data")
    assert none.color_augmentation is None


def test_an_override_of_the_old_key_changes_what_the_config_says(tmp_path: Path) -> None:
    now = load_train_config("weather", ["data.retouch.gray=0.31"])
    same = load_train_config("weather", ["data.color_augmentation.gray=0.31"])
    assert now.data == same.data and now.data.color_augmentation.gray == 0.31
    assert now.data.color_augmentation.contrast == load_train_config("weather").data.color_augmentation.contrast
    for key in ("color_augmentation", "retouch"):
        with pytest.raises(ConfigError, match=r"there is no key data\.color_augmentation\.grey.*did you mean gray"):
            load_train_config("weather", [f"data.{key}.grey=0.3"])


def test_recipes_of_stored_detectors_are_read() -> None:
    recipe = DetectorRecipe(name="eyes")
    stored = recipe.model_dump(mode="json")
    stored["task"]["after"]["kind"] = "retouch"
    assert parse(DetectorRecipe, stored, "detector") == recipe
    assert yaml.safe_load(yaml.safe_dump(stored)) == stored
    with pytest.raises(ConfigError, match="kind"):
        parse(ColorAugmentation, {"kind": "sepia"}, "augmentation")
