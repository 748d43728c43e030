"""What the pages say can be typed: their commands parse, their configs are valid, their links lead somewhere."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from restore.cli import app
from restore.training.config import load_train_config

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "datasets" / "README.md", *(ROOT / "docs").glob("*.md")]
)


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the code of a page in one language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def commands() -> Iterator[str]:
    """Yield every command line of all pages that begins with `restore`."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("restore "):
                    yield line


COMMANDS = sorted(set(commands()))


def test_the_pages_have_commands() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"run", "train", "evaluate", "data", "models"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_pages_is_one(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), "there is no such command"
    given = command.make_context(command.name, words).params
    if command.name == "train" and not given["config"].endswith(".yaml"):  # which is a file of the reader
        load_train_config(given["config"], given["overrides"])


def test_a_command_that_is_none_is_noticed() -> None:
    with pytest.raises(Exception, match="--colour"):
        test_a_command_of_the_pages_is_one("restore run a.jpg -o b.jpg --colour")
    with pytest.raises(Exception, match="optimizer"):
        test_a_command_of_the_pages_is_one("restore train weather output=x optimiser.rate=1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_parses_and_links_lead_to_files(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#\s]+)", re.sub(r"`[^`\n]*`", "", text)):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_the_readme_is_short_and_has_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    for name in ("demo", "test"):
        assert re.search(rf"<!-- {name}-command -->\n```bash\npython3 -m venv .*\n```", text)
