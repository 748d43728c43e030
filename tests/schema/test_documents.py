"""Typed documents: overrides, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.errors import ConfigError
from restore.schema import Spec, apply_overrides, parse, read_yaml


class Inner(Spec):
    number: int = 1


class Outer(Spec):
    inner: Inner = Inner()
    name: str = "x"


def test_overrides_reach_into_the_document_and_leave_the_original() -> None:
    document = {"inner": {"number": 2}}
    changed = apply_overrides(document, ["inner.number=3", "name=y", "new.key=[1, 2]"])
    assert changed == {"inner": {"number": 3}, "name": "y", "new": {"key": [1, 2]}}
    assert document == {"inner": {"number": 2}}


@pytest.mark.parametrize("override", ["inner", "=3", "inner.number.deep=1", "name={"])
def test_bad_overrides_are_named(override: str) -> None:
    with pytest.raises(ConfigError, match=override.split("=")[0] or "="):
        apply_overrides({"inner": {"number": 2}, "name": "x"}, [override])


@pytest.mark.parametrize(
    ("document", "message"),
    [({"nmae": "y"}, "nmae"), ({"inner": {"number": "many"}}, r"inner\.number.*'many'"), ({"inner": 3}, "inner")],
)
def test_mistakes_are_named_with_their_path(document: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"here: .*{message}") as caught:
        parse(Outer, document, "here")
    assert "\n" not in str(caught.value)


def test_yaml_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    canary = tmp_path / "canary"
    path.write_text(f"a: !!python/object/apply:os.system ['touch {canary}']")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(path)
    assert not canary.exists()


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "just text"])
def test_yaml_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="no such config file"):
        read_yaml(tmp_path / "absent.yaml")


def test_documents_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().name = "z"


def test_whatever_a_document_says_its_problems_are_a_short_line() -> None:
    long = "x" * 100_000
    for document in (
        {long: 1},
        {"a\nb": 1},
        {"inner": {long: 1}},
        {"inner": {"number": long}},
        {"name": [long]},
        {f"key{number}": 1 for number in range(1000)},
        {1: 2},
        {None: 2},
        {"inner": {"kind": long, "numbre": 1}},
        {"inner": {"kind": {"a": "b"}, "numbre": 1}},
    ):
        with pytest.raises(ConfigError) as caught:
            parse(Outer, document, "here")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000
