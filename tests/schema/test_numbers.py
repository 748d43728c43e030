"""Numbers in words of the command line: of any length, they are read or refused in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.cli.evaluation import _seeds
from restore.cli.options import parse_pad
from restore.degradations.names import named
from restore.errors import ConfigError, did_you_mean
from restore.restoration.plan import parse_bytes, parse_seconds
from restore.samplers import SamplerSpec
from restore.schema import parse, whole_number
from restore.training.config import TrainConfig

CONFIG = {
    "model": {"name": "x"},
    "data": {"kind": "clean", "folders": ["x"]},
    "output": "y",
    "stages": [{"until": 1}],
}
READERS: dict[str, Callable[[str], object]] = {
    "seed": lambda text: _seeds([text]),
    "pad": lambda text: parse_pad(f"0,{text},0,0"),
    "degradation": lambda text: named(f"jpeg-q{text}"),
    "memory": lambda text: parse_bytes(f"{text}GB"),
    "budget": lambda text: parse_seconds(f"{text}h"),
    "spacing": lambda text: parse(SamplerSpec, {"kind": "ddim", "spacing": f"ddim{text}"}, "here"),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("digits", [20, 41, 400, 4301, 21_000])
def test_numbers_of_many_digits_are_refused(reader: Callable[[str], object], digits: int) -> None:
    with pytest.raises(ConfigError) as caught:
        reader("9" * digits)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@given(st.text(st.sampled_from("0123456789 -+._e²٣x"), max_size=30), st.integers(0, 2**70))
def test_a_whole_number_is_what_it_is(text: str, most: int) -> None:
    value = whole_number(text, most)
    plain = text.strip()
    if plain and set(plain) <= set("0123456789") and int(plain) <= most:
        assert value == int(plain)
    else:
        assert value is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"optimizer": {"lr": 1e-4}}, r"optimizer\.lr.*did you mean rate\?"),
        ({"lr": 1e-4}, r"lr; did you mean optimizer\.rate\?"),
        ({"learning_rate": 1e-4}, r"did you mean optimizer\.rate\?"),
        ({"steps": 100}, r"there is no key steps; did you mean stages\?"),
        ({"batch": 8}, r"there is no key batch; did you mean stages\?"),
        ({"batch_size": 8}, r"did you mean stages\?"),
        ({"stages": [{"until": 1, "batch": 8}]}, r"stages\.0\.batch; did you mean regions\?"),
        ({"stages": [{"until": 1, "steps": 8}]}, r"stages\.0\.steps"),
        ({"stagse": []}, r"did you mean stages\?"),
    ],
)
def test_what_others_call_our_keys_is_understood(document: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(TrainConfig, {**CONFIG, **document}, "here")


def test_unknown_kinds_suggest_the_nearest() -> None:
    for kind, near in (("clena", "clean"), ("crad", "card")):
        with pytest.raises(ConfigError, match=rf"data: unknown kind '{kind}'; did you mean .*{near}"):
            parse(TrainConfig, {**CONFIG, "data": {"kind": kind}}, "here")
    assert did_you_mean("zzz", ["clean"]) == ""
