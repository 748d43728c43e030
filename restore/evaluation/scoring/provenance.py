"""Where numbers come from: command, versions, commit, machine, models, data; enough to make them again."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import restore
from restore.data.manifest import Manifest
from restore.evaluation.scoring.cases import Case, Digests
from restore.evaluation.scoring.records import Record
from restore.system.memory import peak_resident
from restore.system.versions import version_of

if TYPE_CHECKING:
    from restore.evaluation.scoring.engine import EvaluationPlan

__all__ = ["Provenance", "data_digest", "find_commit", "origin_on", "origins_of", "peak_memory"]

RECORDED_PACKAGES = ("restore", "torch", "torchvision", "numpy", "Pillow", "opencv-python", "lpips", "torchmetrics")


@dataclass(frozen=True)
class Provenance:
    """The circumstances of a run, as plain JSON values.

    Attributes:
        command: of the last process, as are the next four.
        finished: when.
        versions: of the packages.
        commit: of the checkout; None where there is none.
        machine: what it ran on.
        origins: what made the records, those of an earlier process too; see `origins_of`.
        methods: what restored.
        protocols: name to settings of those that were scored under.
        data: what was restored.
        seeds: that it was restored with.
        peak_memory_mib: of the last process.
    """

    command: str
    finished: str
    versions: Mapping[str, str]
    commit: str | None
    machine: Mapping[str, Any]
    origins: Sequence[Mapping[str, Any]]
    methods: Sequence[Mapping[str, Any]]
    protocols: Mapping[str, Mapping[str, Any]]
    data: Mapping[str, Any]
    seeds: Sequence[int]
    peak_memory_mib: Mapping[str, float]

    @classmethod
    def gather(
        cls, plan: EvaluationPlan, records: Sequence[Record], data: Mapping[str, Any], device: torch.device
    ) -> Provenance:
        """Return the circumstances of this process, after its work.

        Args:
            plan: what was done.
            records: what came of it.
            data: what is known of the images: root, card, split, ...
            device: where the models ran.
        """
        images = len({record.name for record in records if not record.failed})
        facts = dict(data) | {"scale": plan.scoring.scale, "images": images}
        return cls(
            command=shlex.join(["restore", *sys.argv[1:]]),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=_versions(),
            commit=find_commit(),
            machine=_machine(device),
            origins=origins_of(records),
            methods=[method.describe() for method in plan.methods],
            protocols={known.name: known.model_dump(mode="json") for known in plan.scoring.protocols},
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


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the most memory in MiB that this process has held so far, and on the device where it is another."""
    most = peak_resident()
    peaks = {"process": round(most / 2**20, 1)} if most else {}
    if device.type == "cuda":
        peaks["device"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peaks


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {package: version_of(package) for package in RECORDED_PACKAGES}


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device_name(device) if device.type == "cuda" else "cpu",
    }


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
