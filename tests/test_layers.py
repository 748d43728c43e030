"""The house: dependencies flow one way, heavy packages stay where they are used, nothing is loaded for a help text."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "restore").rglob("*.py"))


def test_layers_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "package", ["accelerate", "timm", "lpips", "torchvision", "skimage", "cv2", "kornia", "diffusers"]
)
def test_restoring_does_not_load_what_it_does_not_need(package: str) -> None:
    script = f"import sys, restore.restoration.bulk, restore.restoration.restorer; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


HEAVY = {
    *("accelerate", "cv2", "diffusers", "huggingface_hub", "kornia", "lpips", "matplotlib", "mpmath", "scipy"),
    *("skimage", "sympy", "timm", "torchvision", "transformers", "triton"),
    *("torch._dynamo", "torch._inductor", "torch.export", "torch.onnx"),
    *("restore.evaluation", "restore.training"),
}
"""Packages that a restoration does not need, each of which takes long to import."""


@pytest.mark.parametrize("task", ["derain", "auto"])
def test_a_run_loads_nothing_heavy(task: str, tmp_path: Path) -> None:
    """Those aside that PyTorch loads by itself."""
    image, output = tmp_path / "in.png", tmp_path / "out.png"
    Image.effect_noise((40, 24), 90).convert("RGB").save(image)
    command = ["restore", "run", str(image), "-o", str(output), "--task", task, "--device", "cpu"]
    run = f"sys.argv = {command}\nfrom restore.cli import main\nmain()"
    before, after = (loaded(code) for code in ("import torch", run))
    assert output.exists() and "restore.restoration.restorer" in after
    assert HEAVY & (after - before) == set()


def loaded(code: str) -> set[str]:
    """Return the names of the modules that are loaded at the end of a program."""
    script = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n{code}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_does_not_load_torch() -> None:
    script = "import sys, restore.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_has_one_subject(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "over 400 lines: redesign"
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    assert not re.search(r"^import datasets|^from datasets", text, re.M)


def test_no_python_where_it_would_shadow_other_packages() -> None:
    assert [*(ROOT / "datasets").rglob("*.py"), *(ROOT / "configs").rglob("*.py")] == []


def test_a_public_name_is_defined_once() -> None:
    """Classes and functions; the functions of commands bear their commands' names."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "restore" / "cli"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
