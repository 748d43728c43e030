"""What is evaluated: pairs of files, or clean files whose degraded picture is made when it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from restore import images
from restore.data.pairs import Pair
from restore.degradations import Degradation, Random
from restore.errors import ConfigError, ImageError
from restore.synthesize import degradation_named, degrade_picture, picture_seed
from restore.tasks import Request, Task

__all__ = ["Case", "Loaded", "made_cases", "paired_cases"]


@dataclass(frozen=True)
class Loaded:
    """The pictures of a case, (3, H, W) in [-1, 1]; `degraded` is None where only outputs are scored."""

    target: Tensor
    degraded: Tensor | None


@dataclass(frozen=True)
class Case:
    """One picture to evaluate.

    Attributes:
        data: what the table calls the set that it belongs to.
        name: of the picture, its path below the set without suffix.
        target: file of the ground truth.
        input: file of the degraded picture; None where it is made or absent.
        degradation: what makes the degraded picture.
        severity: of the degradation; None draws one for each picture.
    """

    data: str
    name: str
    target: Path
    input: Path | None = None
    degradation: Degradation | None = None
    severity: float | None = None

    @property
    def label(self) -> str | None:
        """The label of the degradation, where it is known because it is made."""
        return self.degradation.kind if self.degradation is not None else None

    @property
    def files(self) -> dict[str, Path]:
        """The files that the case reads, by what a manifest calls them."""
        files = {f"target/{self.name}": self.target}
        return files | ({f"input/{self.name}": self.input} if self.input is not None else {})

    def load(self, seed: int) -> Loaded:
        """Return the pictures; `seed` matters only where the degraded one is made.

        Raises:
            ImageError: a file cannot be read.
        """
        target = images.read(self.target).pixels
        if self.degradation is not None:
            own = picture_seed(seed, self.name.replace("/", "_") + ".png")
            return Loaded(target, degrade_picture(target, self.degradation, own, self.severity))
        return Loaded(target, None if self.input is None else images.read(self.input).pixels)

    def request(self, task: Task, seed: int, height: int, width: int) -> Request:
        """Return what a model must be told besides the degraded picture, which `load` returned for the same seed."""
        if self.degradation is None:
            return Request()
        own = picture_seed(seed, self.name.replace("/", "_") + ".png")
        return task.told(self.degradation, Random([own]), height, width, self.severity)

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON values, what the pictures depend on beside the contents of their files."""
        made = None if self.degradation is None else self.degradation.model_dump(mode="json")
        return {"data": self.data, "name": self.name, "degradation": made, "severity": self.severity}


def paired_cases(pairs: Iterable[Pair], data: str) -> list[Case]:
    """Return a case for each pair."""
    return [Case(data, pair.name, pair.target, pair.input) for pair in pairs]


def made_cases(pairs: Iterable[Pair], degradations: Sequence[str], severity: float | None = None) -> list[Case]:
    """Return a case for each clean picture and degradation, all degradations of a picture before the next picture.

    A picture's weather follows from the seed and its name alone, so that neither the order nor a subset changes it;
    `restore data synthesize` writes the same pictures.

    Raises:
        ConfigError: an unknown degradation, or a severity outside [0, 1].
    """
    if severity is not None and not 0 <= severity <= 1:
        raise ConfigError(f"severity must be between 0 and 1, not {severity}")
    kinds = {name: degradation_named(name) for name in degradations}
    return [Case(name, pair.name, pair.target, None, kind, severity) for pair in pairs for name, kind in kinds.items()]


class Digests:
    """SHA-256 of files, each computed once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """Return the digest of a file.

        Raises:
            ImageError: the file cannot be read.
        """
        if path not in self._known:
            try:
                with path.open("rb") as file:
                    self._known[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise ImageError(f"{path} cannot be read: {error.strerror or error}") from None
        return self._known[path]
