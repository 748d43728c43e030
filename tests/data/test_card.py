from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from restore.data.card import DatasetCard, RegexNames, SuffixNames, load_card, load_cards
from restore.errors import ConfigError
from restore.schema import parse
from restore.system.resources import list_cards

# fmt: off
WANTED = [
    "snow100k", "csd", "srrs", "realsnow", "outdoor-rain", "raindrop", "allweather", "rain100l", "rain100h",
    "rain200l", "rain200h", "rain800", "rain1200", "rain1400", "rain13k", "spa-data", "realrain-1k", "gt-rain",
    "reside-its", "reside-ots", "sots-indoor", "sots-outdoor", "o-haze", "i-haze", "dense-haze", "nh-haze",
    "cdd-11", "div2k", "flickr2k", "set5", "set14", "bsd100", "urban100", "manga109", "kodak24", "mcmaster",
    "celeba-hq", "places2", "imagenet-ctest10k", "classic5", "live1", "folder",
]
# fmt: on

MINIMAL = {
    "name": "x",
    "title": "X",
    "summary": "s",
    "task": "weather",
    "paper": "unknown",
    "licence": "unknown",
    "splits": {"test": {"count": 3}},
    "default_split": "test",
    "protocol": {"id": "native"},
}


@pytest.fixture(scope="module")
def cards() -> dict[str, DatasetCard]:
    return load_cards()


def test_every_wanted_card_is_there() -> None:
    assert set(WANTED) <= set(list_cards())


@pytest.mark.parametrize("name", list_cards())
def test_card_is_valid_and_complete(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.summary.strip() and card.title.strip()
    # without layouts, input and target folders are looked for; a card must say why it knows no better
    assert card.layouts or card.name == "folder" or any("layout" in note for note in card.notes)
    for split, facts in card.splits.items():
        if facts.count != "unknown" and facts.targets != "unknown":
            assert facts.targets <= facts.count, split
    for score in card.reported:
        assert score.source and 0 < score.metrics.get("psnr", 30) < 60 and 0 < score.metrics.get("ssim", 0.5) <= 1


def test_leaks_point_at_cards_that_exist(cards: dict[str, DatasetCard]) -> None:
    for card in cards.values():
        for leak in card.leaks:
            for other in leak.against:
                name, _, split = other.partition("/")
                assert other in card.splits or name in cards, (card.name, other)
                assert not split or split in cards[name].splits, (card.name, other)


def test_sizes_and_scores_that_the_weather_papers_print(cards: dict[str, DatasetCard]) -> None:
    snow = cards["snow100k"]
    assert [snow.splits[f"test-{size}"].count for size in "sml"] == [16611, 16588, 16801]
    assert sum(snow.splits[f"test-{size}"].count for size in "sml") == snow.splits["train"].count == 50000
    assert cards["allweather"].splits["train"].count == 8250 + 9001 + 818
    assert cards["outdoor-rain"].splits["train"].count - cards["outdoor-rain"].splits["test1"].count == 8250
    assert cards["rain13k"].splits["train"].count == 11200 + 1800 + 700 + 12
    best = {
        score.method: score.metrics for score in snow.reported if score.split == "test-l" and "psnr" in score.metrics
    }
    assert best["WeatherDiff64 (2023)"] == {"psnr": 30.09, "ssim": 0.9041}


def test_outdoor_rain_leak_names_fifty_scenes() -> None:
    card = load_card("outdoor-rain")
    leaked = [number for number in range(1, 601) if card.leaked(f"im_{number:04d}_s80_a04", "train")]
    assert leaked == list(range(301, 351))
    assert card.leaked("some/folder/im_0350", "train") and card.leaked("im_0301_s80_a04", "test1") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"licence": None}, "licence"),
        ({"licens": "MIT"}, "licens"),
        ({"task": "snow"}, "task"),
        ({"splits": {"test": {"count": 0}}}, "splits.test.count"),
        ({"splits": {"test": {"count": "many"}}}, "splits.test.count"),
        ({"default_split": "val"}, "val"),
        ({"homepages": ["example.org"]}, "homepages.0"),
        ({"layouts": [{"name": "a", "splits": {"train": {"kind": "clean", "target": "x"}}}]}, "train"),
        ({"layouts": [{"name": "a", "splits": {"test": {"kind": "zip", "target": "x"}}}]}, "layouts.0.splits.test"),
        ({"layouts": [{"name": "a", "splits": {"test": {"kind": "clean", "target": "../x"}}}]}, "inside the root"),
        ({"layouts": [{"name": "a", "splits": {"test": {"kind": "list", "list": "/etc/passwd"}}}]}, "inside the root"),
        ({"layouts": [{"name": "a", "splits": {"test": {"kind": "clean", "target": "x"}}}] * 2}, "same name"),
        ({"leaks": [{"text": "t", "pattern": "("}]}, "regular expression"),
        ({"protocol": {"id": "mine"}}, "protocol.id"),
    ],
)
def test_a_wrong_card_names_its_mistake(change: dict, named: str) -> None:
    assert parse(DatasetCard, MINIMAL, "card").name == "x"
    with pytest.raises(ConfigError, match=re.escape(named)):
        parse(DatasetCard, {**MINIMAL, **change}, "card")


def test_a_regex_rule_must_compile_and_have_its_groups() -> None:
    for pattern, target in [("(", r"\1"), (r"(\d+)", r"\2")]:
        with pytest.raises(ConfigError):
            parse(RegexNames, {"pattern": pattern, "target": target}, "rule")


@given(st.text("abc_/0", min_size=1), st.sampled_from(["", "_rain", "x2"]), st.sampled_from(["", "_clean", "gt"]))
def test_suffix_rule_round_trips(stem: str, source: str, target: str) -> None:
    there = SuffixNames(input=source, target=target)
    back = SuffixNames(input=target, target=source)
    assert back.target_of(there.target_of(stem + source)) == stem + source
    assert SuffixNames(input="_rain").target_of(stem + "_snow") is None


def test_a_card_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    assert load_card(path).splits["test"].count == 3
    with pytest.raises(ConfigError, match="snow100k"):
        load_card("snow100")
