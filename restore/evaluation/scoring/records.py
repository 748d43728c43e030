"""Records of each image's scores, and a journal of them that a stopped run continues from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore.errors import ConfigError
from restore.schema import json_value, read_text
from restore.schema.text import MOST_LINES_BYTES

__all__ = ["Journal", "Record", "Scores"]

Scores = Mapping[str, Mapping[str, float]]
"""Protocol to metric to value."""

JOURNAL_FORMAT = 1


@dataclass(frozen=True)
class Record:
    """One image, restored in one way and scored under every protocol.

    Attributes:
        key: digest of all that the scores depend on: the files, the degradation, the model, the protocols.
        data: the data set, or the degradation that was made.
        name: of the image.
        model: which model, or which folder of outputs.
        task: the task that the model was run with; empty for a folder of outputs.
        seed: of the made degradation and of the sampler.
        height: of the ground truth.
        width: of the ground truth.
        seconds: that restoring took, without reading and scoring; None for a folder of outputs.
        tiles: that the network has seen.
        before: scores of the input; empty where there is none.
        after: scores of the output; empty where it failed.
        spread: of several samples, the fields of a `Calibration`; empty for one sample.
        bits_per_dim: bound on the ground truth's likelihood and its terms; empty where it was not computed.
        failure: why there are no scores.
        kept: SHA-256 of the file in which the restored image is kept; empty where it is not.
        origin: what made the record: version and commit of the package, device; empty in journals of old.
    """

    key: str
    data: str
    name: str
    model: str
    task: str
    seed: int
    height: int = 0
    width: int = 0
    seconds: float | None = None
    tiles: int = 0
    before: Scores = field(default_factory=dict)
    after: Scores = field(default_factory=dict)
    spread: Mapping[str, Any] = field(default_factory=dict)
    bits_per_dim: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    kept: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there are no scores."""
        return bool(self.failure)

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values; infinity is the string `inf`."""
        return vars(self) | {"before": _encode(self.before), "after": _encode(self.after)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Record:
        """Return the record that `to_json` made.

        Raises:
            TypeError, ValueError, KeyError: it is no such document.
        """
        return cls(**{**document, "before": _decode(document["before"]), "after": _decode(document["after"])})


class Journal:
    """A file to which each finished image is added at once, one JSON document a line.

    A run that was killed loses nothing but the image it was at; a last line that was cut off is left aside.

    Args:
        path: the file; None keeps no journal.
        resume: continue it. Otherwise it must not be there.

    Raises:
        ConfigError: there is a journal already and `resume` is off, or the file is none.
    """

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path = path
        self.done: dict[str, Record] = {}
        if path is None:
            return
        if path.exists() and not resume:
            raise ConfigError(f"{path.parent} holds an evaluation already: --resume continues it, or name a new folder")
        if path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        lines = read_text(path, "journal", most=MOST_LINES_BYTES).splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines, 1):
            try:
                document = json_value(line, "it") if line.endswith("\n") else None
                if document is None:
                    break
                if document.pop("format") != JOURNAL_FORMAT:
                    raise ValueError("another format")
                record = Record.from_json(document)
            except (ConfigError, ValueError, TypeError, KeyError, AttributeError) as error:
                if number == len(lines):
                    break
                raise ConfigError(f"{path}, line {number} is not a record ({error}); delete the file") from None
            self.done[record.key] = record
            whole += len(line.encode())
        # a line that was cut off would run into the next one
        os.truncate(path, whole)

    def add(self, record: Record) -> None:
        """Add a record; one without scores is not written, so that it is tried again."""
        known = self.done.get(record.key)
        if self.path is None or record.failed or (known is not None and known.kept == record.kept):
            return
        self.done[record.key] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"format": JOURNAL_FORMAT} | record.to_json()) + "\n")


def _encode(scores: Scores) -> dict[str, dict[str, float | str]]:
    return {
        protocol: {metric: value if math.isfinite(value) else "inf" for metric, value in values.items()}
        for protocol, values in scores.items()
    }


def _decode(scores: Mapping[str, Mapping[str, float | str]]) -> Scores:
    return {protocol: {metric: float(v) for metric, v in values.items()} for protocol, values in scores.items()}
