"""A whole report in a folder, each file written at once, the numbers before the pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from restore.evaluation.report.figures import draw_figures
from restore.evaluation.report.files import csv_text, json_text, markdown_text
from restore.evaluation.report.gallery import make_gallery
from restore.evaluation.report.page import page_html
from restore.evaluation.report.result import Result
from restore.evaluation.scoring import Plan
from restore.system.atomic import write_atomically

__all__ = ["write_report"]


def write_report(
    result: Result, folder: Path, plan: Plan | None = None, on_picture: Callable[[int], object] = lambda _: None
) -> None:
    """Write `index.html`, `report.json`, `scores.csv`, `table.md`, and PNGs under `figures/` and `pictures/`.

    The folder is valid at any moment: what is there already is whole, and a page without pictures comes first.

    Args:
        result: what was found.
        folder: created where it is not there.
        plan: makes the shown pictures again; without it, and for a partial result, the page has none.
        on_picture: called after each of them.
    """
    write_atomically(folder / "report.json", json_text(result))
    write_atomically(folder / "scores.csv", csv_text(result))
    write_atomically(folder / "table.md", markdown_text(result))
    figures = draw_figures(result)
    write_atomically(folder / "index.html", page_html(result, figures, None))
    for figure in figures:
        write_atomically(folder / "figures" / f"{figure.name}.png", figure.drawing.to_png())
    if plan is None or not result.complete:
        return
    gallery = make_gallery(result, plan, on_picture)
    for name, data in gallery.files.items():
        write_atomically(folder / "pictures" / f"{name}.png", data)
    write_atomically(folder / "index.html", page_html(result, figures, gallery))
