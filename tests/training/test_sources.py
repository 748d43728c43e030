"""Sources of training images: which files they find, what the network is told, and what is held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from restore.data.card import load_card, load_cards
from restore.data.joined import Half
from restore.data.pairs import find_pairs
from restore.degradations import LABELS
from restore.degradations.color_augmentation import ColorAugmentation
from restore.errors import ConfigError, DataError
from restore.training.sources import Source, TrainingFiles


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes small images below a root."""

    def write(root: str, *names: str, size: tuple[int, int] = (12, 8)) -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size[1], size[0], 3), len(name), np.uint8)).save(path)
        return tmp_path / root

    return write


def find(**document: Any) -> TrainingFiles:
    return TypeAdapter(Source).validate_python(document).find()


def test_a_card_finds_what_it_finds_in_evaluation(put: Callable) -> None:
    names = [f"RainTrainL/{kind}-{n}.png" for n in (1, 2, 10) for kind in ("rain", "norain")]
    root = put("rain", *names, "Rain100L/rainy/rain-1.png", "Rain100L/norain-1.png")
    found = find(kind="card", card="rain100l", root=root)
    pairs = find_pairs(load_card("rain100l"), root, "train")
    assert found.groups == [(pair.input, pair.target) for pair in pairs] and len(pairs) == 3
    assert found.paired and found.labels == ["rain"] * 3 and found.numbers(LABELS) == [1] * 3
    assert found.notes == ("3 pairs of rain100l (split train, layout prenet)",)
    test = find(kind="card", card="rain100l", root=root, split="test")
    assert [group[0].parent.name for group in test.groups] == ["rainy"]


def test_several_inputs_share_a_ground_truth_and_are_held_out_together(put: Callable) -> None:
    inputs = [f"train/input/im_{n:04d}_s{s}_a04.png" for n in (1, 2, 3, 4) for s in (80, 85, 90)]
    root = put("heavy", *inputs, *(f"train/gt/im_{n:04d}.png" for n in (1, 2, 3, 4)))
    found = find(kind="card", card="outdoor-rain", root=root)
    assert len(found.groups) == 12 and len({target for _, target in found.groups}) == 4
    assert set(found.labels) == {"rain+haze"}
    kept, out = found.hold_out(2)
    assert [group[0].name for group in out.groups] == ["im_0001_s80_a04.png", "im_0003_s80_a04.png"]
    assert len(kept.groups) == 6 and not {g[1] for g in kept.groups} & {g[1] for g in out.groups}
    assert found.hold_out(0) == (found, None) and found.hold_out(4) == (found, None)


def test_known_leaks_are_left_out_unless_they_are_asked_for(put: Callable) -> None:
    names = [f"train/{side}.png" for n in (300, 301) for side in (f"input/im_{n:04d}_s80_a04", f"gt/im_{n:04d}")]
    root = put("heavy", *names)
    found = find(kind="card", card="outdoor-rain", root=root)
    assert [group[1].name for group in found.groups] == ["im_0300.png"]
    assert found.notes[0].endswith("; 1 that are in a test set, too, were left out")
    assert len(find(kind="card", card="outdoor-rain", root=root, leaks="keep").groups) == 2
    for side in ("input/im_0300_s80_a04", "gt/im_0300"):
        (root / f"train/{side}.png").unlink()
    with pytest.raises(DataError, match="all 1 pairs are in a test set"):
        find(kind="card", card="outdoor-rain", root=root)


def test_sets_are_joined_each_with_its_label(put: Callable) -> None:
    rain = put("rain", "training/1.png", "training/2.png")
    snow = put("snow", "input/1.png", "target/1.png")
    drop = put("drop", "input/1.png", "target/1.png")
    found = find(
        kind="cards",
        cards=[
            {"card": "rain800", "root": rain},
            {"card": "csd", "root": snow},
            {"card": "folder", "root": drop, "label": "raindrop"},
            {"card": "cdd-11", "root": drop, "split": "test"},
        ],
    )
    assert found.labels == ["rain", "rain", "snow", "raindrop", None]
    assert found.numbers(LABELS) == [1, 1, 2, 5, 0] and len(found.notes) == 4
    assert found.groups[0] == (Half(rain / "training/1.png", "right"), Half(rain / "training/1.png", "left"))
    # a model with labels of its own is not told what it cannot know, but what the config says must mean something
    with pytest.raises(ConfigError, match="'raindrop' is not one of the model's: unknown, rain"):
        found.numbers(("unknown", "rain"))
    assert find(kind="card", card="csd", root=snow).numbers(("unknown",)) == [0]


def test_clean_sets_are_degraded_on_the_fly(put: Callable) -> None:
    root = put("clean", "DIV2K_train_HR/0001.png", "DIV2K_train_HR/0002.png", "DIV2K_valid_HR/0801.png")
    other = put("more", "a.png")
    found = find(
        kind="cards",
        cards=[{"card": "div2k", "root": root}, {"card": "flickr2k", "root": other}],
        degradation={"weights": {"snow": 1.0}},
        color_augmentation={"gray": 0.5},
    )
    assert not found.paired and [group[0].name for group in found.groups] == ["0001.png", "0002.png", "a.png"]
    assert found.mixture.weights == {"snow": 1.0} and found.labels == [None] * 3
    assert found.color_augmentation == ColorAugmentation(gray=0.5)
    assert find(kind="card", card="div2k", root=root, color_augmentation={}).color_augmentation == ColorAugmentation()
    assert found.zoom == (1.0, 1.0) and find(kind="card", card="div2k", root=root, zoom=(1, 2)).zoom == (1.0, 2.0)
    with pytest.raises(ValueError, match=r"must lie between 0\.25 and 4"):
        find(kind="card", card="div2k", root=root, zoom=(0, 1))


def test_what_is_refused(put: Callable, tmp_path: Path) -> None:
    pairs, clean = put("pairs", "input/1.png", "target/1.png"), put("clean", "1.png")
    for document, error, message in (
        ({"card": "rain100k", "root": pairs}, ConfigError, "rain100k"),
        ({"card": "csd", "root": tmp_path / "none"}, DataError, "not a folder"),
        ({"card": "csd", "root": clean}, DataError, r"does not hold the train split of CSD.*Train/Snow"),
        ({"card": "csd", "root": pairs, "split": "val"}, DataError, "no split 'val'"),
        ({"card": "kodak24", "root": clean}, ConfigError, "kodak24 has no train split: name one of test by data.split"),
        ({"card": "csd", "root": pairs, "degradation": {}}, ConfigError, "these are degraded already: 1 pairs of csd"),
        (
            {"card": "csd", "root": pairs, "color_augmentation": {}},
            ConfigError,
            r"data\.color_augmentation is for clean im",
        ),
        ({"card": "csd", "root": pairs, "zoom": (1, 2)}, ConfigError, r"data\.zoom is for clean images, but these"),
    ):
        with pytest.raises(error, match=message) as caught:
            find(kind="card", **document)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"cannot be joined: 1 pairs of csd .*; 1 images of div2k"):
        find(kind="cards", cards=[{"card": "csd", "root": pairs}, {"card": "div2k", "root": clean}])


def test_every_card_can_be_trained_on(put: Callable) -> None:
    """Each card, given plain folders, finds its split for training or asks for one."""
    pairs, clean = put("pairs", "input/1.png", "target/1.png"), put("clean", "1.png")
    asked = set()
    for name, card in load_cards().items():
        document = {"kind": "card", "card": name, "root": pairs if card.paired else clean}
        try:
            assert len(find(**document).groups) == 1
        except ConfigError:
            asked.add(name)
            assert len(find(**document, split=card.default_split).groups) == 1
    assert asked >= {"set5", "kodak24", "sots-indoor", "realrain-1k"} and not asked & {"rain13k", "div2k", "o-haze"}
