"""docs/extending.md, done as it says: its files are a package outside of the tree, its commands processes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "extending.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code of the page: its language, the file that it is (or none), its text."""

    language: str
    title: str
    text: str


BLOCKS = [Block(*found) for found in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.text.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """The page's files, installed as an installer would: with metadata beside them, on the path."""
    folder = tmp_path_factory.mktemp("project")
    for block in BLOCKS:
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text)
    document = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name = document["name"].replace("-", "_")
    (folder / name / "__init__.py").touch()
    metadata = folder / f"{name}-{document['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {document['name']}\nVersion: {document['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{kind} = {place}\n" for kind, place in own.items())
        for group, own in document["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    shutil.copytree(photographs, folder / "photographs")
    return folder


@pytest.fixture(scope="module")
def run(project: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A function that runs a command of the page in the package's folder."""
    path = os.pathsep.join([str(project), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default", "HOME": str(project)}

    def command(line: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(line)
        start = {"restore": [sys.executable, "-m", "restore"], "python": [sys.executable]}[program]
        return subprocess.run(
            [*start, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=300
        )

    return command


def beginning(start: str) -> str:
    """Return the one command of the page that begins so."""
    (found,) = [line for line in COMMANDS if line.startswith(start)]
    return found


def test_the_page_holds_what_is_tested_here() -> None:
    assert {block.title for block in BLOCKS if block.title} == {
        "pyproject.toml",
        "plain.yaml",
        "fog_kit/network.py",
        "fog_kit/degradation.py",
        "fog_kit/pairs.py",
        "fog_kit/decorator.py",
        "fog_kit/metric.py",
        "train_pairs.py",
        "sharpen.py",
        "gradients.py",
    }
    assert [shlex.split(line)[:2] for line in COMMANDS] == [
        ["pip", "install"],
        ["restore", "train"],
        ["restore", "run"],
        ["restore", "evaluate"],
        ["python", "train_pairs.py"],
        ["python", "sharpen.py"],
        ["python", "gradients.py"],
        ["restore", "evaluate"],
        ["restore", "metrics"],
    ]


@pytest.fixture(scope="module")
def trained(project: Path, run: Callable[[str], subprocess.CompletedProcess[str]]) -> Path:
    """The model that the page trains."""
    done = run(beginning("restore train"))
    assert done.returncode == 0, done.stderr
    assert "fog" in done.stdout and "rain" in done.stdout and "after 4 steps" in done.stdout
    return project / "runs" / "plain" / "model.safetensors"


def test_the_network_and_the_degradation(trained: Path, project: Path, run) -> None:
    done = run(beginning("restore run"))
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (project / "photographs").iterdir()}
    assert {path.name for path in (project / "restored").iterdir()} == names
    done = run(beginning("restore evaluate --clean photographs --degradation fog --model runs"))
    assert done.returncode == 0, done.stderr
    assert "fog" in done.stdout and "PSNR" in done.stdout.upper()


def test_a_model_whose_package_is_not_installed_says_so(trained: Path, project: Path) -> None:
    command = [sys.executable, "-m", "restore", "run", str(project / "photographs"), "-o", "elsewhere"]
    done = subprocess.run(
        [*command, "--model", str(trained), "--device", "cpu"],
        cwd=project.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "network: unknown kind 'plain'; choose efficient_unet, unet" in done.stderr


def test_the_decorator_and_the_gradients(trained: Path, project: Path, run) -> None:
    done = run(beginning("python sharpen.py"))
    assert done.returncode == 0, done.stderr
    assert float(re.fullmatch(r"changed by up to ([\d.]+)\n", done.stdout)[1]) > 0.01  # type: ignore[index]
    assert (project / "sharp.png").is_file()
    done = run(beginning("python gradients.py"))
    assert done.returncode == 0, done.stderr
    first, last = map(int, re.fullmatch(r"pixel \(32, 32\) depends on rows (\d+) to (\d+)\n", done.stdout).groups())  # type: ignore[union-attr]
    # two convolutions of three pixels, in each of two steps
    assert 28 <= first < 32 < last <= 36


def test_the_metric(project: Path, run) -> None:
    done = run(beginning("restore evaluate --clean photographs --degradation fog --model none"))
    assert done.returncode == 0, done.stderr
    assert "RMSE" in done.stdout.upper()
    done = run(beginning("restore metrics"))
    assert done.returncode == 0, done.stderr
    assert "root mean square error in 8-bit levels" in done.stdout and "signal-to-noise" in done.stdout


def test_the_data_set(project: Path, run) -> None:
    done = run(beginning("python train_pairs.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step ") == 4 and "step 4 of 4: loss" in done.stdout
    assert (project / "runs" / "dusk" / "model.safetensors").is_file()
