"""What the script of a page works on: scores, pictures and names, as one JSON document."""

from __future__ import annotations

import json
import math
from typing import Any

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.gallery import Entry, Gallery
from restore.evaluation.report.result import Result
from restore.evaluation.scoring import Record, Series, gain_of

__all__ = ["page_data"]


def page_data(result: Result, gallery: Gallery | None) -> str:
    """Return the document, safe inside a `<script>` element."""
    groups = result.groups
    index = {series: number for number, series in enumerate(groups)}
    document = {
        "protocols": result.protocols,
        "metrics": [
            {"name": METRICS[m].label, "decimals": METRICS[m].decimals, "higher": METRICS[m].direction == "higher"}
            for m in _metrics(result)
        ],
        "paired": any(record.before for record in result.scored),
        "rows": [result.label(series) for series in groups],
        "pictures": [_picture(result, r, index[s]) for s, records in groups.items() for r in records],
        "entries": [_entry(result, entry, index) for entry in gallery.entries] if gallery else [],
        "images": gallery.data_uris() if gallery else {},
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    # `</script>` and `<!--` must not occur inside a script element
    return text.replace("<", "\\u003c")


def _metrics(result: Result) -> list[str]:
    return [metric for metric in result.metrics if METRICS[metric].per == "image"]


def _picture(result: Result, record: Record, row: int) -> list[Any]:
    scores = [_scores(result, record, protocol) for protocol in result.protocols]
    seconds = None if record.seconds is None else round(record.seconds, 3)
    return [row, record.name, record.seed, record.height, record.width, seconds, scores]


def _scores(result: Result, record: Record, protocol: str) -> list[float | str | None] | None:
    if protocol not in record.after:
        return None
    sides = (record.before.get(protocol, {}), record.after[protocol])
    return [_plain(side.get(metric), metric) for metric in _metrics(result) for side in sides]


def _plain(value: float | None, metric: str) -> float | str | None:
    if value is None:
        return None
    return round(value, METRICS[metric].decimals + 2) if math.isfinite(value) else "inf"


def _entry(result: Result, entry: Entry, index: dict[Series, int]) -> dict[str, Any]:
    record = entry.record
    protocol = next(iter(record.after))
    metric = next(iter(record.after[protocol]))
    gain = gain_of(record, protocol, metric)
    unit = METRICS[metric].unit
    after = f"{record.after[protocol][metric]:.{METRICS[metric].decimals}f} {unit}".strip()
    before = record.before.get(protocol, {}).get(metric)
    change = f" {METRICS[metric].label} ({protocol}) {after}"
    if before is not None:
        change = f" {METRICS[metric].label} ({protocol}) {before:.{METRICS[metric].decimals}f} → {after}"
    width, height = entry.size
    scored = "" if entry.size == (record.width, record.height) else f", scored at {width}×{height}"
    return {
        "role": entry.role,
        "row": index[Series(record.data, record.model, record.task)],
        "name": record.name,
        "seed": record.seed,
        "width": width,
        "height": height,
        "gain": f"{gain:+.{METRICS[metric].decimals}f} {unit}".strip() if math.isfinite(gain) else after,
        "caption": f"{record.name}, {record.width}×{record.height} pixels{scored}.{change}.",
        "images": entry.images,
    }
