"""The house: dependencies flow one way, heavy packages stay where they are used, nothing is loaded for a help text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
