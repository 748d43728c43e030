"""Where numbers come from: command, versions, commit, machine, models, data; enough to make them again."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import restore
from restore.data.manifest import Manifest
from restore.evaluate.cases import Case, Digests
from restore.evaluate.engine import Plan
from restore.evaluate.records import Record
from restore.plan.memory import peak_resident

__all__ = ["Provenance", "data_digest", "find_commit", "peak_memory"]

PACKAGES = ("restore", "torch", "torchvision", "numpy", "Pillow", "opencv-python", "lpips", "torchmetrics")


@dataclass(frozen=True)
class Provenance:
    """The circumstances of a run, as plain JSON values."""

    command: str
    finished: str
    versions: Mapping[str, str]
    commit: str | None
    machine: Mapping[str, Any]
    methods: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    seeds: Sequence[int]
    peak_memory_mib: Mapping[str, float]

    @classmethod
    def gather(cls, plan: Plan, records: Sequence[Record], data: Mapping[str, Any], device: torch.device) -> Provenance:
        """Return the circumstances of this process, after its work.

        Args:
            plan: what was done.
            records: what came of it.
            data: what is known of the pictures: root, card, split, ...
            device: where the models ran.
        """
        facts = dict(data) | {"pictures": len({record.name for record in records if not record.failed})}
        return cls(
            command=shlex.join(["restore", *sys.argv[1:]]),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=_versions(),
            commit=find_commit(),
            machine=_machine(device),
            methods=[method.describe() for method in plan.methods],
            data=facts | {"manifest_sha256": data_digest([case for case, _ in plan.jobs], records, plan.digests)},
            seeds=list(plan.seeds),
            peak_memory_mib=peak_memory(device),
        )


def data_digest(cases: Sequence[Case], records: Sequence[Record], digests: Digests) -> str | None:
    """Return one SHA-256 for all files that were scored, whatever folder they lie in; None where there are none.

    It is the digest of the manifest (`restore.data.manifest`) with each file under `input/NAME` or `target/NAME`.
    """
    scored = {(record.data, record.name) for record in records if not record.failed}
    files: dict[str, Path] = {}
    for case in cases:
        if (case.data, case.name) in scored:
            files |= case.files
    return Manifest({name: digests(path) for name, path in files.items()}).digest if files else None


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


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the most memory in MiB that this process has held so far, and on the device where it is another."""
    most = peak_resident()
    peaks = {"process": round(most / 2**20, 1)} if most else {}
    if device.type == "cuda":
        peaks["device"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peaks


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
