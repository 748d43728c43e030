"""The tables of a report as rows of text, for the terminal and the page, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from restore.evaluation.metrics import METRICS, Difference, Summary
from restore.evaluation.report.result import Result
from restore.evaluation.scoring import Row

__all__ = [
    "Table",
    "calibration_table",
    "comparison_table",
    "interval",
    "likelihood_table",
    "markdown",
    "number",
    "numeric",
    "published_table",
    "reported_table",
    "summary_table",
]

Table = tuple[list[str], list[list[str]]]


def number(summary: Summary | None, metric: str, sign: bool = False) -> str:
    """Return the mean as text: `inf` where all images were identical, a dash where there is none."""
    if summary is None:
        return "-"
    if summary.mean is None:
        return "inf" if summary.infinite and not isinstance(summary, Difference) else "-"
    return f"{summary.mean:{'+' if sign else ''}.{METRICS[metric].decimals}f}"


def interval(summary: Summary | None, metric: str, sign: bool = False) -> str:
    """Return the interval as text, empty where there is none."""
    if summary is None or summary.low is None or summary.high is None:
        return ""
    form = f"{'+' if sign else ''}.{METRICS[metric].decimals}f"
    return f"[{summary.low:{form}}, {summary.high:{form}}]"


def summary_table(result: Result) -> Table:
    """Return header and cells: for each series and protocol the scores before and after, and the gain."""
    metrics = [metric for metric in result.metrics if any(metric in row.after for row in result.rows)]
    paired = any(row.before for row in result.rows)
    several = len({row.series.model for row in result.rows}) > 1
    header = ["data", *(["model"] if several else []), "task", "protocol", "n"]
    for index, metric in enumerate(metrics):
        name = METRICS[metric].label
        header += [f"{name} before", "after"] if paired else [name]
        if index == 0:
            header += ["gain", "95 % interval"] if paired else ["95 % interval"]
    timed = any(row.seconds is not None for row in result.rows)
    header += ["s/image"] if timed else []
    cells = []
    for row in result.rows:
        line = [row.series.data, *([row.series.model] if several else []), row.series.task or "-", row.protocol]
        line.append(str(row.images) if row.seeds == 1 else f"{row.images} x {row.seeds}")
        for index, metric in enumerate(metrics):
            line += _scores(row, metric, paired, first=index == 0)
        line += [("-" if row.seconds is None else f"{row.seconds:.2f}")] if timed else []
        cells.append(line)
    return header, cells


def _scores(row: Row, metric: str, paired: bool, first: bool) -> list[str]:
    after = row.after.get(metric)
    if not paired:
        return [number(after, metric), *([interval(after, metric)] if first else [])]
    gain: Difference | None = row.gain.get(metric)
    cells = [number(row.before.get(metric), metric), number(after, metric)]
    return cells + ([number(gain, metric, sign=True), interval(gain, metric, sign=True)] if first else [])


def calibration_table(result: Result) -> Table:
    """Return header and cells: how often the truth lies within k standard deviations of the samples' mean.

    Beside each share stands the one that samples would have if the truth were one more of them, drawn from a Gaussian.
    """
    rows = {row.series: row.calibration for row in result.rows if row.calibration is not None}
    ks = next(iter(rows.values())).ks if rows else ()
    header = ["data", "task", "samples"]
    header += [part for k in ks for part in (f"within {k:g} sd", "calibrated")] + ["spread / error"]
    cells = []
    for series, found in rows.items():
        shares = [f"{100 * share:.1f} %" for pair in found.shares().values() for share in pair]
        cells.append([series.data, series.method, str(found.samples), *shares, f"{found.spread_to_error():.3f}"])
    return header, cells


def likelihood_table(result: Result) -> Table:
    """Return header and cells: bits per dimension of the ground truths and their terms, where they were computed."""
    rows = {row.series: row.bits_per_dim for row in result.rows if row.bits_per_dim}
    terms = list(dict.fromkeys(term for found in rows.values() for term in found))
    header = ["data", "task", "bits per dimension", "95 % interval", *terms[1:]]
    cells = []
    for series, found in rows.items():
        means = ["-" if summary.mean is None else f"{summary.mean:.4f}" for summary in found.values()]
        whole = next(iter(found.values()))
        ends = "" if whole.low is None or whole.high is None else f"[{whole.low:.4f}, {whole.high:.4f}]"
        cells.append([series.data, series.method, means[0], ends, *means[1:]])
    return header, cells


def comparison_table(result: Result) -> Table:
    """Return header and cells of the paired comparisons."""
    header = ["data", "protocol", "metric", "first", "second", "difference", "95 % interval", "first better", "verdict"]
    cells = []
    for c in result.comparisons:
        verdict = "clear" if c.difference.clear else "not clear"
        verdict = verdict if c.difference.enough else "too few images"
        cells.append(
            [
                c.data,
                c.protocol,
                METRICS[c.metric].label,
                c.first,
                c.second,
                number(c.difference, c.metric, sign=True),
                interval(c.difference, c.metric, sign=True),
                f"{c.first_better} of {c.difference.count + c.difference.infinite}",
                verdict,
            ]
        )
    return header, cells


def reported_table(result: Result) -> Table:
    """Return header and cells of the scores that papers printed."""
    metrics = list(dict.fromkeys(metric for score in result.reported for metric in score["metrics"]))
    header = ["method", *(f"{metric.upper()} (as reported)" for metric in metrics), "condition", "source"]
    cells = [
        [
            score["method"],
            *(str(score["metrics"].get(metric, "-")) for metric in metrics),
            score["condition"] or "-",
            score["source"],
        ]
        for score in result.reported
    ]
    return header, cells


def published_table(result: Result) -> Table:
    """Return header and cells: what was measured here, then what papers printed, each marked as such."""
    known = [metric for metric in result.metrics if METRICS[metric].reported_as]
    header = ["method", *(METRICS[metric].label for metric in known), "protocol", "condition", "origin"]
    cells = [
        [
            row.series.method,
            *(number(row.after.get(m), m) for m in known),
            row.protocol,
            f"{row.images} images",
            "here",
        ]
        for row in result.rows
    ]
    for score in result.reported:
        values = [str(score["metrics"].get(METRICS[metric].reported_as, "-")) for metric in known]
        cells.append([score["method"], *values, "-", score["condition"] or "-", f"as reported, {score['source']}"])
    return header, cells


def numeric(cell: str) -> bool:
    """Return whether a cell holds a number, an interval or nothing."""
    return re.fullmatch(r"[-+]?[\d.]+( x \d+| %)?|\[.*\]|inf|-|", cell) is not None


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    r"""Return a Markdown table.

    >>> print(markdown(["a", "b"], [["1", "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |
    """
    lines = [list(header), ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
