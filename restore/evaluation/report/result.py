"""The contents of a report: records, the rows and comparisons drawn from them, circumstances, published scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zlib import crc32

from restore.data.card import DatasetCard
from restore.evaluation.metrics import METRICS, Summary
from restore.evaluation.scoring import (
    Comparison,
    Provenance,
    Record,
    Row,
    Series,
    SetScores,
    compare_methods,
    group,
    summarise_rows,
)
from restore.samplers import Calibration

__all__ = ["Result", "file_name"]

REPORT_FORMAT = 1
MOST_BYTES = 150  # of a name before its checksum: disks take 255 with the suffix

LEFT_OUT = {
    "after": "outputs equal the ground truth and are left out of the mean {metric}",
    "before": "inputs equal the ground truth and are left out of the mean {metric} before",
    "gain": "images have no finite gain in {metric} and are left out of its mean",
}
"""The remark on infinite scores, by the side of a row."""


def file_name(text: str) -> str:
    """Return a name that every disk takes; its checksum keeps two texts apart whatever was replaced or cut off.

    >>> file_name("rain, 3/three")
    'rain__3_three-f0b90771'
    """
    plain = "".join(c if c.isalnum() or c in "-_+." else "_" for c in text)
    short = plain.encode()[:MOST_BYTES].decode(errors="ignore")
    return f"{short}-{crc32(text.encode('utf-8', 'surrogateescape')):08x}"


@dataclass(frozen=True)
class Result:
    """The result of an evaluation.

    Attributes:
        title: of the page.
        records: of every image, failed ones too.
        expected: how many records a complete run has.
        provenance: the circumstances.
        notes: what a reader must know: metrics that are absent, images that were left out.
        card: of the data set, for its published scores.
        split: of the data set.
        sets: scores of whole sets of images.
    """

    title: str
    records: Sequence[Record]
    expected: int
    provenance: Provenance
    notes: Sequence[str] = ()
    card: DatasetCard | None = None
    split: str = ""
    sets: Mapping[Series, SetScores] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every image was tried."""
        return len(self.records) >= self.expected

    @property
    def scored(self) -> list[Record]:
        """The records that have scores."""
        return [record for record in self.records if not record.failed]

    @property
    def failures(self) -> list[Record]:
        """The records that have none."""
        return [record for record in self.records if record.failed]

    @cached_property
    def groups(self) -> dict[Series, list[Record]]:
        """The records with scores by series."""
        return group(self.records)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the table; scores of whole sets stand in the first row of their series."""
        rows = summarise_rows(self.records)
        for row in rows:
            scores = self.sets.get(row.series)
            if scores is not None and row.protocol == rows[0].protocol:
                for side, values in ((row.before, scores.before), (row.after, scores.after)):
                    side |= {name: Summary(mean=value, count=row.images) for name, value in values.items()}
        return rows

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Each two methods on the same images."""
        return compare_methods(self.records)

    @property
    def protocols(self) -> list[str]:
        """The protocols that anything was scored under."""
        return list(dict.fromkeys(row.protocol for row in self.rows))

    @property
    def metrics(self) -> list[str]:
        """The metrics that anything was scored with."""
        return list(dict.fromkeys(metric for row in self.rows for metric in row.after))

    @property
    def remarks(self) -> list[str]:
        """What a reader must know: the notes, and what was left out of a mean."""
        left_out = [
            f"{self.label(row.series)}, protocol {row.protocol}: {summary.infinite} of {row.images} "
            + said.format(metric=metric)
            for row in self.rows
            for side, said in LEFT_OUT.items()
            for metric, summary in getattr(row, side).items()
            if summary.infinite
        ]
        partly = [
            f"{self.label(row.series)}, protocol {row.protocol}: {metric} could be taken of {taken} of {row.images} "
            "images only, and its mean is over these"
            for row in self.rows
            for metric, summary in row.after.items()
            if (taken := summary.count + summary.infinite) < row.images
        ]
        of_sets = [f"{self.label(series)}: {note}" for series, scores in self.sets.items() for note in scores.notes]
        return [*self.notes, *left_out, *partly, *of_sets]

    @property
    def reported(self) -> list[dict[str, Any]]:
        """Scores that papers printed for this split, as plain values."""
        if self.card is None:
            return []
        return [score.model_dump(mode="json") for score in self.card.reported if score.split == self.split]

    def label(self, series: Series) -> str:
        """Return the shortest labels that distinguish the rows: data, model and task, as far as they differ."""
        known = list(self.groups)
        data = [series.data] if len({s.data for s in known}) > 1 else []
        several_models = len({s.model for s in known}) > 1
        several_tasks = len({(s.data, s.task) for s in known}) > len({s.data for s in known}) or not several_models
        method = (
            series.method
            if several_models and several_tasks
            else series.model
            if several_models
            else f"task {series.task}"
        )
        return ", ".join([*data, method if series.task else series.model])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "format": REPORT_FORMAT,
            "title": self.title,
            "complete": self.complete,
            "expected": self.expected,
            "done": len(self.records),
            "rows": [_row(row) for row in self.rows],
            "comparisons": [_comparison(c) for c in self.comparisons],
            "as_reported": self.reported,
            "notes": self.remarks,
            "failures": [
                {"data": r.data, "name": r.name, "model": r.model, "task": r.task, "seed": r.seed, "reason": r.failure}
                for r in self.failures
            ],
            "protocols": {name: self.provenance.protocols[name] for name in self.protocols},
            "metrics": {name: METRICS[name].model_dump(mode="json") for name in self.metrics},
            "provenance": {key: value for key, value in vars(self.provenance).items() if key != "protocols"},
            "images": [record.to_json() for record in self.scored],
        }


def _row(row: Row) -> dict[str, Any]:
    return {
        "data": row.series.data,
        "model": row.series.model,
        "task": row.series.task,
        "protocol": row.protocol,
        "images": row.images,
        "seeds": row.seeds,
        "improved": row.improved,
        "seconds": row.seconds,
        "tiles": row.tiles,
        "calibration": None if row.calibration is None else _calibration(row.calibration),
        "bits_per_dim": {term: summary.model_dump(mode="json") for term, summary in row.bits_per_dim.items()},
        **{
            side: {metric: summary.model_dump(mode="json") for metric, summary in getattr(row, side).items()}
            for side in ("before", "after", "gain")
        },
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    ratio = calibration.spread_to_error()
    return {
        "samples": calibration.samples,
        "values": calibration.values,
        "shares": [{"k": k, "measured": m, "expected": e} for k, (m, e) in calibration.shares().items()],
        "spread_to_error": ratio if math.isfinite(ratio) else None,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return vars(comparison) | {
        "difference": comparison.difference.model_dump(mode="json") | {"clear": comparison.difference.clear}
    }
