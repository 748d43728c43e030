"""Reports of evaluations, for people and programs: tables, JSON, CSV, figures and a self-contained page."""

from __future__ import annotations

from restore.evaluation.report.files import csv_text, json_text, markdown_text, write_report
from restore.evaluation.report.gallery import count_images
from restore.evaluation.report.result import Result
from restore.evaluation.report.tables import (
    calibration_table,
    comparison_table,
    likelihood_table,
    markdown,
    reported_table,
    summary_table,
)

__all__ = [
    "Result",
    "calibration_table",
    "comparison_table",
    "count_images",
    "csv_text",
    "json_text",
    "likelihood_table",
    "markdown",
    "markdown_text",
    "reported_table",
    "summary_table",
    "write_report",
]
