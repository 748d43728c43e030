"""A report in a folder: JSON, CSV and Markdown for other programs, figures, images, and the page for people.

Every file is written whole or not at all, the numbers before the images.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.result import Result
from restore.evaluation.report.tables import (
    calibration_table,
    comparison_table,
    likelihood_table,
    markdown,
    reported_table,
    summary_table,
)
from restore.evaluation.scoring import EvaluationPlan
from restore.system.atomic import write_atomically

__all__ = ["csv_text", "json_text", "markdown_text", "write_report"]


def write_report(
    result: Result,
    folder: Path,
    plan: EvaluationPlan | None = None,
    on_image: Callable[[int], object] = lambda _: None,
) -> None:
    """Write `index.html`, `report.json`, `scores.csv`, `table.md`, and PNGs under `figures/` and `images/`.

    The folder is valid at any moment: what is there already is whole, and a page without images comes first.

    Args:
        result: what was found.
        folder: created where it is not there.
        plan: restores the gallery's images again; without it, and for a partial result, the page has none.
        on_image: called after each of them.
    """
    # matplotlib and Jinja2 are of no use to a table in the terminal, so they are not imported for it
    from restore.evaluation.report.figures import draw_figures
    from restore.evaluation.report.gallery import make_gallery
    from restore.evaluation.report.page import page_html

    write_atomically(folder / "report.json", json_text(result))
    write_atomically(folder / "scores.csv", csv_text(result))
    write_atomically(folder / "table.md", markdown_text(result))
    figures = draw_figures(result)
    write_atomically(folder / "index.html", page_html(result, figures, None))
    for figure in figures:
        write_atomically(folder / "figures" / f"{figure.name}.png", figure.drawing.to_png())
    if plan is None or not result.complete:
        return
    gallery = make_gallery(result, plan, on_image)
    for name, data in gallery.files.items():
        write_atomically(folder / "images" / f"{name}.png", data)
    write_atomically(folder / "index.html", page_html(result, figures, gallery))


def json_text(result: Result) -> str:
    """Return the whole result as JSON, one image a line."""
    document = result.to_json()
    # one image a line: readable, and many times faster than indenting the scores of thousands of them
    images = ",\n".join("    " + json.dumps(image) for image in document.pop("images"))
    head = json.dumps(document, indent=2, default=str, allow_nan=False).removesuffix("\n}")
    return f'{head},\n  "images": [\n{images}\n  ]\n}}\n'


def csv_text(result: Result) -> str:
    """Return one line for each image, method, seed and protocol, with every score before and after."""
    metrics = [name for name in result.metrics if METRICS[name].per == "image"]
    facts = ["data", "name", "model", "task", "seed", "protocol", "height", "width", "seconds", "tiles", "bits_per_dim"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*facts, *(f"{metric}_{side}" for metric in metrics for side in ("before", "after")), "failure"])
    for record in result.records:
        start = [record.data, record.name, record.model, record.task, record.seed]
        if record.failed:
            writer.writerow([*start, *[""] * (len(facts) - len(start) + 2 * len(metrics)), record.failure])
        for protocol, scores in record.after.items():
            inputs = record.before.get(protocol, {})
            values = [side.get(metric, "") for metric in metrics for side in (inputs, scores)]
            seconds = "" if record.seconds is None else round(record.seconds, 4)
            facts_of_run = [record.height, record.width, seconds, record.tiles, record.bits_per_dim.get("total", "")]
            writer.writerow([*start, protocol, *facts_of_run, *values, ""])
    return buffer.getvalue()


def markdown_text(result: Result) -> str:
    """Return the tables as Markdown, with a line that says so where the run is not complete."""
    parts = [f"# {result.title}"]
    if not result.complete:
        parts.append(f"**Partial:** {len(result.records)} of {result.expected} restorations were done.")
    parts.append(markdown(*summary_table(result)))
    if result.comparisons:
        parts += ["## Paired comparison", markdown(*comparison_table(result))]
    if (calibration := calibration_table(result))[1]:
        parts += ["## Calibration of the samples", markdown(*calibration)]
    if (likelihood := likelihood_table(result))[1]:
        parts += ["## Likelihood of the ground truths", markdown(*likelihood)]
    if result.reported:
        parts += ["## As reported", markdown(*reported_table(result))]
    parts += [f"Note: {note}" for note in result.remarks]
    parts += [f"Failed: {record.data}/{record.name} ({record.model}): {record.failure}" for record in result.failures]
    parts.append(f"`{result.provenance.command}`")
    return "\n\n".join(parts) + "\n"
