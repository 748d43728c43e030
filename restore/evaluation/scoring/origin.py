"""What made a score: which state of the package, on which device; one evaluation may have several."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import restore
from restore.evaluation.scoring.records import Record

__all__ = ["device_name", "find_commit", "origin_on", "origins_of", "processor", "version_of"]


def origin_on(device: torch.device | str) -> dict[str, str]:
    """Return the version of the package, its commit where it is known, and the name of the device."""
    commit = find_commit()
    known = {} if commit is None else {"commit": commit}
    return {"restore": version_of("restore"), **known, "device": device_name(torch.device(device))}


def origins_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return each origin of the records with scores, and how many restorations it has made.

    A journal that was begun before origins were kept has records without one, which is `{}` here.
    """
    counted = Counter(tuple(record.origin.items()) for record in records if not record.failed)
    return [{**dict(origin), "restorations": count} for origin, count in counted.items()]


def version_of(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@functools.cache
def find_commit() -> str | None:
    """Return the commit of the checkout that the package runs from, `+` where it has changes, or None."""
    root = Path(restore.__file__).resolve().parents[1]
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def device_name(device: torch.device) -> str:
    """Return what a GPU is called; of the CPU, the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


@functools.cache
def processor() -> str:
    """Return the name of the processor, as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
