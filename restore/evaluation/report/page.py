"""The page of a report: one HTML file that needs no network, no server and no other file.

Its text is in `assets/page.html` and `assets/sections.html` (Jinja2); here is what they show.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.figures import ReportFigure
from restore.evaluation.report.gallery import ERROR_SCALE, Entry, Gallery, scale_css
from restore.evaluation.report.result import Result
from restore.evaluation.report.tables import (
    Table,
    calibration_table,
    comparison_table,
    interval,
    likelihood_table,
    number,
    numeric,
    published_table,
    summary_table,
)
from restore.evaluation.scoring import Record, Series, gain_of

__all__ = ["page_data", "page_html"]

MOST_CARDS = 8
DATA_FACTS = {
    "name": "data",
    "scale": "factor of super-resolution",
    "manifest_sha256": "SHA-256 of the data's manifest",
}


@dataclass(frozen=True)
class PageTable:
    """A table of text; which of its columns are flush right, and which of its rows papers reported."""

    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    caption: str = ""
    reported: Sequence[bool] = ()

    @property
    def right(self) -> list[bool]:
        """Whether each column holds numbers only."""
        return [bool(self.cells) and all(numeric(line[i]) for line in self.cells) for i in range(len(self.header))]


def page_html(result: Result, figures: Sequence[ReportFigure], gallery: Gallery | None) -> str:
    """Return the whole page.

    Args:
        result: what was found.
        figures: drawn into the page.
        gallery: the images; None leaves them out and says so.
    """
    environment = Environment(
        loader=PackageLoader("restore.evaluation.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval}
    return environment.get_template("page.html").render(
        result=result,
        figures=figures,
        gallery=gallery,
        tables=_tables(result),
        rows=[row for row in result.rows if row.protocol == result.protocols[0]],
        metrics=METRICS,
        most_cards=MOST_CARDS,
        error_scale=ERROR_SCALE,
        scale_css=scale_css(),
        facts=_facts(result),
        methods=_methods(result),
        data=Markup(page_data(result, gallery)),
        source=lambda name: Markup(environment.loader.get_source(environment, name)[0]),  # type: ignore[union-attr]
    )


def _tables(result: Result) -> dict[str, PageTable]:
    """Return the tables that have rows, by their sections."""
    mean = "mean gain" if any(row.gain for row in result.rows) else "mean"
    published = published_table(result) if result.reported else ([], [])
    known, scale = result.provenance.protocols, result.provenance.data.get("scale")
    origins = result.provenance.origins if len(result.provenance.origins) > 1 else ()
    columns = ["restore", "commit", "device", "restorations"]
    tables = {
        "summary": PageTable(
            *summary_table(result),
            f"Means over images; the interval is the 95 % bootstrap interval of the {mean} over images.",
        ),
        "published": PageTable(*published, reported=[line[-1].startswith("as reported") for line in published[1]]),
        "comparison": PageTable(*comparison_table(result)),
        "calibration": PageTable(*calibration_table(result)),
        "likelihood": PageTable(
            *likelihood_table(result), "Bound on the ground truths' likelihood; smaller is better."
        ),
        "failures": PageTable(
            ["data", "image", "method", "reason"],
            [[r.data, r.name, Series(r.data, r.model, r.task).method, r.failure] for r in result.failures],
        ),
        "protocols": PageTable(
            ["protocol", "what it is", "settings"],
            [[name, known[name]["description"], _settings(known[name], scale)] for name in result.protocols],
            "Numbers of different protocols do not compare.",
        ),
        "metrics": PageTable(*_metric_facts(result)),
        "origins": PageTable(
            columns,
            [[_flat(origin.get(column, "unknown")) for column in columns] for origin in origins],
            "It was continued: the records were made by more than one of these.",
        ),
    }
    return {name: table for name, table in tables.items() if table.cells}


def _metric_facts(result: Result) -> Table:
    known = [METRICS[name] for name in result.metrics]
    header = ["metric", "direction", "range", "what it is", "reference"]
    return header, [[m.label, f"{m.direction} is better", m.range, m.description, m.reference] for m in known]


def _settings(protocol: Mapping[str, Any], scale: int | None) -> str:
    shown = {k: v for k, v in protocol.items() if k not in {"name", "description", "window", "metrics"}}
    shown["crop"] = f"{scale} (scale)" if shown["crop"] == "scale" else shown["crop"]
    return ", ".join(f"{key} {value}" for key, value in shown.items()) + f", SSIM window {_flat(protocol['window'])}"


def _flat(value: Any) -> str:
    """Return a JSON value as a line of text."""
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_flat(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    return str(value)


def _facts(result: Result) -> dict[str, str]:
    """Return where the numbers come from, name to text."""
    known = result.provenance
    return {
        **{DATA_FACTS.get(key, key): _flat(value) for key, value in known.data.items() if value is not None},
        "commit": known.commit or "not a checkout",
        "seeds": _flat(known.seeds),
        **{key: _flat(value) for key, value in known.machine.items()},
        "peak memory": ", ".join(f"{key} {value:.0f} MiB" for key, value in known.peak_memory_mib.items()) or "unknown",
        "versions": ", ".join(f"{key} {value}" for key, value in known.versions.items()),
        "finished": known.finished,
    }


def _methods(result: Result) -> dict[str, dict[str, str]]:
    """Return what restored, each with its settings and what it took."""
    found = {}
    for method in result.provenance.methods:
        series = method["model"], method.get("task", "")
        rows = [row for row in result.rows if (row.series.model, row.series.task) == series]
        shown = {key: _flat(value) for key, value in method.items() if key != "model"}
        if times := [row.seconds for row in rows if row.seconds is not None]:
            seen = math.fsum(row.tiles * row.images for row in rows) / sum(row.images for row in rows)
            shown["seconds an image"] = f"{math.fsum(times) / len(times):.2f}"
            shown["network evaluations"] = f"{seen:.0f} tiles an image on average, over all steps and samples"
        found["/".join(part for part in series if part)] = shown
    return found


def page_data(result: Result, gallery: Gallery | None) -> str:
    """Return what the script of a page works on, scores, images and names, as JSON safe inside a `<script>` element."""
    index = {series: number for number, series in enumerate(result.groups)}
    metrics = [METRICS[name] for name in result.metrics if METRICS[name].per == "image"]
    document = {
        "protocols": result.protocols,
        "metrics": [{"name": m.label, "decimals": m.decimals, "higher": m.direction == "higher"} for m in metrics],
        "paired": any(record.before for record in result.scored),
        "rows": [result.label(series) for series in result.groups],
        "scored": [
            _image_data(result, record, [metric.name for metric in metrics], index[series])
            for series, records in result.groups.items()
            for record in records
        ],
        "entries": [_entry_data(entry, index) for entry in gallery.entries] if gallery else [],
        "images": gallery.data_uris() if gallery else {},
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    # `</script>` and `<!--` must not occur inside a script element
    return text.replace("<", "\\u003c")


def _image_data(result: Result, record: Record, metrics: Sequence[str], row: int) -> list[Any]:
    def plain(value: float | None, metric: str) -> float | str | None:
        if value is None:
            return None
        return round(value, METRICS[metric].decimals + 2) if math.isfinite(value) else "inf"

    scores = []
    for protocol in result.protocols:
        sides = (record.before.get(protocol, {}), record.after.get(protocol, {}))
        values = [plain(side.get(metric), metric) for metric in metrics for side in sides]
        scores.append(values if protocol in record.after else None)
    seconds = None if record.seconds is None else round(record.seconds, 3)
    return [row, record.name, record.seed, record.height, record.width, seconds, scores]


def _entry_data(entry: Entry, index: Mapping[Series, int]) -> dict[str, Any]:
    record = entry.record
    protocol = next(iter(record.after))
    metric = METRICS[next(iter(record.after[protocol]))]
    gain, change = gain_of(record, protocol, metric.name), metric.text(record.after[protocol][metric.name])
    shown = metric.text(gain, sign=True) if math.isfinite(gain) else change
    before = record.before.get(protocol, {}).get(metric.name)
    if before is not None:
        change = f"{before:.{metric.decimals}f} → {change}"
    width, height = entry.size
    scored = "" if entry.size == (record.width, record.height) else f", scored at {width}×{height}"
    size = f"{record.name}, {record.width}×{record.height} pixels{scored}"
    return {
        "role": entry.role,
        "row": index[Series(record.data, record.model, record.task)],
        "name": record.name,
        "seed": record.seed,
        "width": width,
        "height": height,
        "gain": shown,
        "caption": f"{size}. {metric.label} ({protocol}) {change}.",
        "images": entry.images,
    }
