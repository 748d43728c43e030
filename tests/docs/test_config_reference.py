"""The reference of config keys: complete, as the code has it, and refused where a description is missing."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import Field, TypeAdapter

from restore.data.card import DatasetCard
from restore.models.card import ModelCard
from restore.schema import Spec
from restore.training.config import TrainConfig

SCRIPT = Path(__file__).parents[2] / "scripts" / "config_reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("config_reference", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Kettle(Spec):
    """A kettle.

    >>> 1 + 1
    2

    Attributes:
        litres: how much
            it holds.
    """

    litres: float = Field(1.5, gt=0, le=3)
    sides: tuple[float, float] = (1.0, 2.0)


class Whistling(Kettle):
    """A kettle that whistles.

    Attributes:
        sides: of its base.
    """


def test_the_page_is_what_the_script_writes(reference: ModuleType) -> None:
    assert reference.main(["--check"]) == 0, "run python scripts/config_reference.py"


@pytest.mark.parametrize("root", [TrainConfig, ModelCard, DatasetCard])
def test_all_that_pydantic_accepts_is_on_the_page(reference: ModuleType, root: type[Spec]) -> None:
    """By the JSON schema, which pydantic makes by itself."""
    text = reference.PAGE.read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", text, flags=re.M)[1:]}
    schema = TypeAdapter(root).json_schema()
    accepted = {**schema.get("$defs", {}), root.__name__: schema}
    named: dict[str, list[str]] = {}
    for document in reference.documents():
        named.setdefault(document.__name__, []).append(sections[reference.heading(document)])
    assert len(accepted) > 3
    for title, definition in accepted.items():
        own = named[title.split("__")[-1]]
        for key, accepts in definition["properties"].items():
            if "const" not in accepts:
                assert any(f"\n| `{key}` | " in section for section in own), f"{title}.{key}"


def test_no_cell_is_empty_but_bounds(reference: ModuleType) -> None:
    rows = re.findall(r"^\| `\w+` \|.*$", reference.PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert len(rows) > 300
    for row in rows:
        _, key, kind, default, _, description, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        assert key and kind and default and len(description) > 5, row


def test_a_row_says_type_default_bounds_and_description(reference: ModuleType) -> None:
    litres, sides = reference.keys(Whistling, {})
    assert litres == ("`litres`", "number", "`1.5`", "> 0, ≤ 3", "how much it holds.")
    assert sides == ("`sides`", "2 numbers", "`[1.0, 2.0]`", "", "of its base.")
    assert reference.summary(Kettle) == "A kettle."


def test_a_key_without_a_description_is_an_error(reference: ModuleType) -> None:
    with pytest.raises(LookupError, match=r"Kettle\.sides has no line"):
        reference.keys(Kettle, {})


def test_links_lead_to_headings(reference: ModuleType) -> None:
    text = reference.PAGE.read_text(encoding="utf-8")
    anchors = {reference.anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, flags=re.M)}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert len(links) > 50 and links <= anchors
