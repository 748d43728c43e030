"""Text that files and users bring: whatever it is, it is read within bounds or refused in one line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import CheckpointError, ConfigError, DataError, RestoreError
from restore.evaluation.scoring import Journal
from restore.models.published.settings import read_config
from restore.schema import apply_overrides, json_value, parse, read_json_lines, read_text, read_yaml, yaml_value
from restore.schema.text import MOST_DEPTH, MOST_NODES, MOST_VALUES, excess, shortened
from restore.training.trainer import read_log

SECONDS = 5
"""Of the processor, in which every input is read or refused; it may be busy with other things, too."""

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12))

YAML = {
    "billion laughs": LAUGHS,
    "billion merged laughs": MERGED,
    "an alias of itself": "&a [*a]",
    "an alias of nothing": "[*b]",
    "brackets": "[" * 900,
    "more brackets": "[" * 100_000,
    "braces": "{a: " * 5000,
    "dashes": "- " * 2000 + "x",
    "questions": "? " * 30_000,
    "too many values": "[" + "1," * (MOST_NODES + 1) + "]",
    "no such day": "x: 2026-02-30",
    "no integer": "!!int abc",
    "an empty integer": "!!int ''",
    "no float": "!!float abc",
    "no boolean": "!!bool x",
    "no date": "!!timestamp x",
    "no base64": "!!binary abc",
    "no pairs": "!!pairs x",
    "21,000 digits": "a: " + "9" * 21_000,
    "hexadecimal digits": "0x" + "f" * 5000,
    "sixties": "1:" * 3000 + "1",
    "a key that is a list": "{[a]: 1}",
    "a control character": "a: \x07",
    "a zero byte": "\x00",
    "code": "!!python/object/apply:os.system [x]",
    "another version": "%YAML 9.9\n---\na: 1",
    "two documents": "--- a\n--- b",
    "an open quote": "'" * 100_001,
    "backslashes": '"' + "\\" * 100_001,
}
JSON = {
    "brackets": "[" * 100_000,
    "closed brackets": "[" * 900 + "]" * 900,
    "objects": '{"a":' * 2000,
    "21,000 digits": "9" * 21_000,
    "41 digits": "9" * 41,
    "65 bits": str(2**64),
    "nothing": "",
    "a cut": '{"a": 1',
    "a zero byte": "\x00",
    "too many values": json.dumps([0] * (MOST_VALUES + 1)),
}


def refused(call: Callable[[], object], error: type[RestoreError]) -> str:
    """Return the message of a refusal, which is one short line and comes soon."""
    start = time.process_time()
    with pytest.raises(error) as caught:
        call()
    assert time.process_time() - start < SECONDS
    message = str(caught.value)
    assert "\n" not in message and 0 < len(message) < 600
    return message


@pytest.mark.parametrize("text", YAML.values(), ids=YAML.keys())
def test_hostile_yaml_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    assert refused(lambda: yaml_value(text, "here"), ConfigError).startswith("here ")
    (tmp_path / "config.yaml").write_text(text)
    assert "config.yaml" in refused(lambda: read_yaml(tmp_path / "config.yaml"), ConfigError)
    assert "override" in refused(lambda: apply_overrides({}, [f"a.b={text}"]), ConfigError)


@pytest.mark.parametrize("text", JSON.values(), ids=JSON.keys())
@pytest.mark.parametrize("error", [ConfigError, DataError, CheckpointError])
def test_hostile_json_is_refused_in_one_line(text: str, error: type[RestoreError]) -> None:
    assert refused(lambda: json_value(text, "here", error=error), error).startswith("here ")


def test_files_that_are_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "linked.yaml").symlink_to("pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    for name in ("folder", "pipe", "zero", "linked", "loop", "latin"):
        path = tmp_path / f"{name}.yaml"
        assert str(path) in refused(lambda path=path: read_yaml(path), ConfigError)
        assert str(path) in refused(lambda path=path: read_text(path, "list", error=DataError), DataError)
    refused(lambda: read_text(tmp_path / "zero\0byte"), ConfigError)
    assert "no such list" in refused(lambda: read_text(tmp_path / "absent", "list"), ConfigError)
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    assert "larger than 4 MB" in refused(lambda: read_yaml(tmp_path / "large.yaml"), ConfigError)


def test_text_of_other_systems_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [x, \xc3\xa9]\r\n")
    assert read_yaml(path) == {"a": 1, "b": ["x", "é"]}
    (tmp_path / "link.yaml").symlink_to(path)
    assert read_yaml(tmp_path / "link.yaml") == read_yaml(path)


def test_lines_of_json_are_read_but_for_one_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_json_lines(path, "log") == [{"step": 1}, {"step": 2}]
    path.write_text('{"step": 1}\nno\n')
    assert "a line of" in refused(lambda: read_json_lines(path, "log", error=DataError), DataError)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc~<=.", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_as_the_safe_loader_reads_it(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert yaml_value(text, "here") == yaml.safe_load(text) == value
    assert json_value(json.dumps(value), "here") == value


@given(st.text(st.sampled_from(list("[]{}:,-?&*!|>'\"%@`#<~ \n\tab01.")), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    for read in (yaml_value, json_value):
        try:
            value = read(text, "here")
        except ConfigError as error:
            assert "\n" not in str(error) and str(error).startswith("here ")
        else:
            assert excess(value) is None


@given(st.integers(1, 3 * MOST_DEPTH))
@settings(max_examples=30, deadline=None)
def test_depth_is_bounded_alike_everywhere(depth: int) -> None:
    text = "[" * depth + "]" * depth
    document: list = []
    for _ in range(depth - 1):
        document = [document]
    for read in (
        lambda: yaml_value(text, "here"),
        lambda: json_value(text, "here"),
        lambda: parse(list, document, "here"),
    ):
        if depth <= MOST_DEPTH:
            read()
        else:
            assert "levels deep" in refused(read, ConfigError)


def test_aliases_within_the_bounds_are_read() -> None:
    assert yaml_value("base: &b {x: 1}\nmore: {<<: *b, y: 2}\nlist: [*b, *b]", "here") == {
        "base": {"x": 1},
        "more": {"x": 1, "y": 2},
        "list": [{"x": 1}, {"x": 1}],
    }


def test_documents_that_no_text_made_are_bounded_too() -> None:
    laughs: list = [1]
    for _ in range(30):
        laughs = [laughs] * 10
    own: list = []
    own.append(own)
    for document in (laughs, own, 10**400, {"a": [-(2**64)]}):
        refused(lambda document=document: parse(int, document, "here"), ConfigError)


def test_the_home_folder_is_put_into_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    changed = apply_overrides({}, ["output=~/runs", "data={folders: [~/a, b~/c], root: ~/d}", "none=~", "text=~about"])
    assert changed == {
        "output": "/home/me/runs",
        "data": {"folders": ["/home/me/a", "b~/c"], "root": "/home/me/d"},
        "none": None,
        "text": "~about",
    }


@given(st.text(), st.integers(10, 200))
def test_what_is_shown_is_short(value: str, most: int) -> None:
    shown = shortened(value, most)
    assert len(shown) <= most and (shown == repr(value) or "..." in shown)


def test_configs_of_published_codebases_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n\t// a comment\n\t"a": "x // y", /* another */ "b": [1, 2,],\n\t"c": "\\"/*"\n}')
    assert read_config(path) == {"a": "x // y", "b": [1, 2], "c": '"/*'}
    hostile = ("[" * 900, '"' + '\\"' * 400_000, "/*" * 400_000, '"' * 400_001, '{"a": 2026-02-30}', "[1]", "// x")
    for text in ("{}", *hostile):
        path.write_text(text)
        if text == "{}":
            assert read_config(path) == {}
        else:
            refused(lambda: read_config(path), ConfigError)
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(lambda: read_config(path), ConfigError)


def test_logs_and_journals_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for text in ("[" * 900 + "\n", "3\n", "{}\n", '{"step": ' + "9" * 21_000 + "}\n", "x\n"):
        path.write_text(text)
        refused(lambda: read_log(path), DataError)
        path.write_text(text + "{}\n")
        refused(lambda: Journal(path, resume=True), ConfigError)
    path.unlink()
    os.mkfifo(path)
    refused(lambda: read_log(path), DataError)
    refused(lambda: Journal(path, resume=True), ConfigError)
