"""Patterns of cards: what Python's matcher finds, in time that is bounded."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.data.card import RegexNames, load_cards
from restore.data.files import _columns, read_list
from restore.data.patterns import MOST_LETTERS, Pattern
from restore.errors import ConfigError
from restore.images.listing import IMAGE_SUFFIXES
from restore.schema import parse

letters = st.text("ab0_.-/", min_size=0, max_size=12)
atoms = st.sampled_from(["a", "b", "0", ".", r"\d", r"\w", r"\.", r"\-", "[ab]", "[^a]", "[a-b0]", r"[\d.]", "[]a]"])
repeats = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{1,}"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds("{}{}){}".format, st.sampled_from(["(", "(?:"]), inner, repeats)
    return st.builds("".join, st.lists(group | inner, min_size=1, max_size=3)) | st.builds("{}|{}".format, inner, inner)


patterns = st.recursive(st.builds("{}{}".format, atoms, repeats), grown, max_leaves=6).filter(lambda x: len(x) <= 60)


def repeats_a_group(pattern: str) -> bool:
    """Whether a group is repeated, which may match nothing: when such rounds end is a matter of taste."""
    return any(mark in pattern for mark in (")*", ")+", "){", ")?"))


@given(patterns, letters)
@settings(max_examples=500, deadline=None)
def test_matches_are_those_of_pythons_matcher(pattern: str, text: str) -> None:
    mine, theirs = Pattern(pattern), re.compile(pattern)
    for ours, expected in ((mine.fullmatch(text), theirs.fullmatch(text)), (mine.search(text), theirs.search(text))):
        assert (ours is None) == (expected is None)
        if ours is not None and expected is not None and not repeats_a_group(pattern):
            spans = [expected.span(number) for number in range(theirs.groups + 1)]
            assert ours.places == tuple(place if place >= 0 else None for span in spans for place in span)


@given(st.text("^$ab|()", max_size=10), st.text("ab\n", max_size=6))
@settings(max_examples=300, deadline=None)
def test_beginnings_and_ends_are_those_of_pythons_matcher(pattern: str, text: str) -> None:
    try:
        theirs = re.compile(pattern)
    except re.error:
        with pytest.raises(ValueError, match="not a regular expression"):
            Pattern(pattern)
        return
    mine = Pattern(pattern)
    assert (mine.search(text) is None) == (theirs.search(text) is None)
    assert (mine.fullmatch(text) is None) == (theirs.fullmatch(text) is None)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*b",
        "(a|aa)+$",
        "(.*)*(.*)*b",
        "a?" * 50 + "a" * 50,
        "(a*)*b",
        ".+.+.+.+.+x",
        "((a+)+)+b",
        "(a|a)" * 40,
    ],
)
def test_patterns_that_hang_elsewhere_take_a_moment(pattern: str) -> None:
    compiled, start = Pattern(pattern), time.process_time()
    assert compiled.fullmatch("a" * 255 + "!") is None
    compiled.search("a" * 255 + "!")
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "a**", "[", r"(a)\1", "(?=a)", "(?i)a", "(?P<x>a)", r"\bx", "a++", "(?>a)", r"\Z"),
        *("a{1000}", "(a{100}){100}", "((a{99}){99}){99}", "x" * (MOST_LETTERS + 1)),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(ConfigError, match="pattern") as caught:
        parse(RegexNames, {"pattern": pattern, "target": "x"}, "rule")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_the_patterns_of_all_cards_are_known() -> None:
    cards = load_cards()
    rules = {
        split.pairing.pattern
        for card in cards.values()
        for layout in card.layouts
        for split in layout.splits.values()
        if isinstance(getattr(split, "pairing", None), RegexNames)
    }
    leaks = {leak.pattern for card in cards.values() for leak in card.leaks if leak.pattern}
    assert len(rules) > 5 and leaks
    for pattern in rules | leaks:
        Pattern(pattern)


def columns(line: str) -> list[str]:
    """The columns of a line of a list file, by the plain expression, which takes the square of a line's length."""
    kinds = "|".join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))
    return re.findall(rf"(?i)\S.*?\.(?:{kinds})(?=\s|$)", line) or [line]


@given(
    st.lists(
        st.sampled_from(["a", " ", ".png", ".JPG", ".txt", "b c", ".", "/", "\t", "x.png"]), min_size=1, max_size=12
    )
)
@settings(max_examples=300, deadline=None)
def test_columns_are_those_of_the_plain_expression(parts: list[str]) -> None:
    line = "".join(parts).strip()
    if line:
        assert _columns(line) == columns(line)


def test_one_long_line_takes_a_moment(tmp_path: Path) -> None:
    for text in ("x" * 3_000_000, "x " * 1_500_000, ".png" * 700_000, ".pngx " * 500_000, "a.png " * 500_000):
        (tmp_path / "list.txt").write_text(text)
        start = time.process_time()
        read_list(tmp_path / "list.txt")
        assert time.process_time() - start < 5
