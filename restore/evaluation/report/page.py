"""The page of a report: one HTML file that needs no network, no server and no other file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from restore.evaluation.metrics import METRICS
from restore.evaluation.report.figures import Figure
from restore.evaluation.report.gallery import ERROR_SCALE, Gallery, scale_css
from restore.evaluation.report.pagedata import page_data
from restore.evaluation.report.result import Result
from restore.evaluation.report.tables import (
    calibration_table,
    comparison_table,
    interval,
    likelihood_table,
    number,
    numeric,
    published_table,
    summary_table,
)
from restore.evaluation.scoring import Row, Series

__all__ = ["page_html"]

MOST_CARDS = 8
DATA_FACTS = {
    "name": "data",
    "scale": "factor of super-resolution",
    "manifest_sha256": "SHA-256 of the data's manifest",
}


def page_html(result: Result, figures: Sequence[Figure], gallery: Gallery | None) -> str:
    """Return the whole page.

    Args:
        result: what was found.
        figures: drawn into the page.
        gallery: the pictures; None leaves them out and says so.
    """
    sections = {
        "summary": ("Summary", _summary(result, figures)),
        "pictures": ("Pictures", _pictures(result, gallery)),
        "published": ("As reported", _published(result)),
        "comparison": ("Comparison", _comparison(result)),
        "samples": ("Samples", _samples(result, figures)),
        "distribution": ("Distribution", _distribution(figures)),
        "table": ("Every picture", _every_picture(result)),
        "failures": ("Failed", _failures(result)),
        "method": ("How it was measured", _method(result)),
        "origin": ("Where it comes from", _origin(result)),
    }
    sections = {key: section for key, section in sections.items() if section[1]}
    main = [
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{escape(title)}</h2>{body}</section>'
        for key, (title, body) in sections.items()
    ]
    parts = {
        "title": escape(result.title),
        "css": _asset("page.css"),
        "js": _asset("page.js"),
        "header": _header(result),
        "nav": " ".join(f'<a href="#{key}">{escape(title)}</a>' for key, (title, _) in sections.items()),
        "main": "\n".join(main),
        "footer": f"Made by restore {escape(result.provenance.versions.get('restore', ''))}, "
        f"{escape(result.provenance.finished)}. This file is complete: it loads nothing.",
        "data": page_data(result, gallery),
    }
    page = _asset("page.html")
    # the pieces are joined, not replaced one after the other, so that no piece can stand in another one's place
    pieces = page.split("@@")
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return files("restore.evaluation.report").joinpath("assets", name).read_text(encoding="utf-8")


def _header(result: Result) -> str:
    facts = [_counted(result), f"protocols {', '.join(result.protocols)}" if result.protocols else ""]
    lines = [f"<h1>{escape(result.title)}</h1>", f'<p class="soft">{escape("; ".join(f for f in facts if f))}</p>']
    notices = []
    if not result.complete:
        done = f"{len(result.records)} of {result.expected} restorations were done when it was stopped"
        notices.append(f"<strong>Partial.</strong> {escape(done)}; all numbers are over these.")
    if result.failures:
        notices.append(
            f"{len(result.failures)} restorations failed and are left out of all numbers: "
            '<a href="#failures">which and why</a>.'
        )
    lines += [f'<div class="notice" role="note"><p>{notice}</p></div>' for notice in notices]
    lines += [f'<p class="soft">Note: {escape(note)}.</p>' for note in result.remarks]
    return "\n".join(lines)


def _counted(result: Result) -> str:
    pictures = len({record.name for record in result.scored})
    series = len(result.groups)
    seeds = len(result.provenance.seeds)
    text = f"{pictures} picture{'s' * (pictures != 1)}"
    text += f" in {series} rows" if series > 1 else ""
    return text + (f", {seeds} seeds" if seeds > 1 else "")


def _summary(result: Result, figures: Sequence[Figure]) -> str:
    if not result.rows:
        return "<p>No picture was scored.</p>"
    protocol = result.protocols[0]
    rows = [row for row in result.rows if row.protocol == protocol]
    parts = []
    if len(rows) <= MOST_CARDS:
        parts.append('<ul class="cards">' + "".join(_card(row, result.label(row.series)) for row in rows) + "</ul>")
    mean = "mean gain" if any(row.gain for row in result.rows) else "mean"
    caption = f"Means over pictures; the interval is the 95 % bootstrap interval of the {mean} over pictures."
    parts.append(_table(*summary_table(result), caption))
    parts += [_figure(figure, "wide") for figure in figures if figure.name == "gains"]
    return "\n".join(parts)


def _card(row: Row, label: str) -> str:
    metric = next(iter(row.after))
    unit = METRICS[metric].unit
    gain = row.gain.get(metric)
    lines = [f'<div class="what">{escape(label)}</div>']
    if gain is not None and gain.mean is not None:
        better = "good" if (gain.mean > 0) == (METRICS[metric].direction == "higher") else "bad"
        shade = better if gain.clear else ""
        big = f"{number(gain, metric, sign=True)} <small>{escape(unit)} {METRICS[metric].label}</small>"
        lines.append(f'<div class="big {shade}">{big}</div>')
        lines.append(
            f'<div class="sub">{number(row.before[metric], metric)} → {number(row.after[metric], metric)}</div>'
        )
        lines.append(f'<div class="sub">{row.improved} of {row.pictures} pictures better</div>')
    else:
        named = f"<small>{escape(unit)} {METRICS[metric].label}</small>"
        lines.append(f'<div class="big">{number(row.after[metric], metric)} {named}</div>')
        lines.append(f'<div class="sub">{interval(row.after[metric], metric)}</div>')
    for other in list(row.after)[1:3]:
        before = f"{number(row.before[other], other)} → " if other in row.before else ""
        lines.append(f'<div class="sub">{METRICS[other].label} {before}{number(row.after[other], other)}</div>')
    return f"<li>{''.join(lines)}</li>"


def _pictures(result: Result, gallery: Gallery | None) -> str:
    if gallery is None and result.scored:
        return "<p>The pictures are drawn when the evaluation is complete; <code>--resume</code> continues it.</p>"
    if gallery is None or not gallery.entries:
        return ""
    by = "gain" if any(record.before for record in result.scored) else "score"
    by += f" under the protocol {result.protocols[0]}"
    if not gallery.exact:
        by += f" (here reduced to {gallery.side} pixels and compressed; the folder pictures/ holds the exact ones)"
    how = "Pull the handle, or use the arrow keys on the slider; double-click, Ctrl and wheel, or the buttons zoom."
    return f"""
<p>The best, the median and the worst picture of each row, by their {escape(by)}. {how}</p>
<div class="bar"><label id="row-label">row <select id="choose-row"></select></label>
<span class="group" id="choose-role" role="group" aria-label="which picture"></span></div>
<div class="bar"><label>left <select id="choose-left"></select></label>
<label>right <select id="choose-right"></select></label>
<span class="group" role="group" aria-label="zoom"><button type="button" id="zoom-out" aria-label="zoom out">−</button>
<button type="button" id="zoom-in" aria-label="zoom in">+</button>
<button type="button" id="zoom-fit">fit</button></span><span id="zoom-level" aria-live="polite"></span></div>
<div class="stage" id="stage" tabindex="0" role="group" aria-label="comparison; plus and minus zoom, arrows move">
<div class="layer"><img id="image-right" alt="" draggable="false"></div>
<div class="layer" id="layer-left"><img id="image-left" alt="" draggable="false"></div>
<div class="handle" id="handle"></div>
<span class="tag left" id="tag-left"></span><span class="tag right" id="tag-right"></span></div>
<input class="slide" id="slide" type="range" min="0" max="100" step="0.5" value="50"
 aria-label="how much of the left picture">
<div class="legend" id="legend" hidden><span>equal</span><i style="background: {scale_css()}"></i>
<span>differs by {ERROR_SCALE} of 255 levels or more, mean over the channels</span></div>
<p class="soft" id="picture-caption" aria-live="polite"></p>
"""


def _published(result: Result) -> str:
    if not result.reported:
        return ""
    header, cells = published_table(result)
    note = (
        "<p>Rows in italics are numbers that papers printed, <strong>as reported</strong>; nobody measured them here. "
        "Numbers of different protocols do not compare.</p>"
    )
    return note + _table(header, cells, "", reported=[line[-1].startswith("as reported") for line in cells])


def _comparison(result: Result) -> str:
    if not result.comparisons:
        return ""
    note = (
        "<p>First minus second, picture by picture. Where there are enough pictures and the interval leaves out zero, "
        "they suffice to tell the two apart.</p>"
    )
    return note + _table(*comparison_table(result), "")


def _samples(result: Result, figures: Sequence[Figure]) -> str:
    calibration, likelihood = calibration_table(result), likelihood_table(result)
    parts = []
    if calibration[1]:
        parts.append(
            "<p>How often the truth lies within k standard deviations of the samples' mean, and how often it would if "
            "it were one more of them. Below 1, spread over error says that the model is surer than it should be.</p>"
        )
        parts.append(_table(*calibration, ""))
        parts += [_figure(figure) for figure in figures if figure.name == "calibration"]
    if likelihood[1]:
        parts.append(_table(*likelihood, "Bound on the ground truths' likelihood; smaller is better."))
    return "\n".join(parts)


def _distribution(figures: Sequence[Figure]) -> str:
    drawn = "".join(_figure(figure) for figure in figures if figure.name not in {"gains", "calibration"})
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def _figure(figure: Figure, kind: str = "") -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    return f'<figure class="{kind}">{figure.drawing.to_svg()}{caption}</figure>'


def _every_picture(result: Result) -> str:
    if not result.scored:
        return ""
    return """
<div class="bar"><label id="table-row-label">row <select id="table-row"></select></label>
<label id="table-protocol-label">protocol <select id="table-protocol"></select></label>
<label>name <input type="search" id="table-search" placeholder="part of the name"></label>
<span class="soft" id="table-count" role="status"></span>
<button type="button" id="table-more" hidden>show all</button></div>
<div class="scroll"><table id="pictures-table"><caption>Press a heading to sort.</caption></table></div>
<noscript><p>This table needs JavaScript; the same numbers are in scores.csv.</p></noscript>
"""


def _failures(result: Result) -> str:
    cells = [[r.data, r.name, Series(r.data, r.model, r.task).method, r.failure] for r in result.failures]
    return _table(["data", "picture", "method", "reason"], cells, "") if cells else ""


def _method(result: Result) -> str:
    if not result.rows:
        return ""
    known, scale = result.provenance.protocols, result.provenance.data.get("scale")
    protocols = [[name, known[name]["description"], _settings(known[name], scale)] for name in result.protocols]
    metrics = [
        [
            METRICS[name].label,
            f"{METRICS[name].direction} is better",
            METRICS[name].range,
            METRICS[name].description,
            METRICS[name].reference,
        ]
        for name in result.metrics
    ]
    return (
        _table(["protocol", "what it is", "settings"], protocols, "Numbers of different protocols do not compare.")
        + _table(["metric", "direction", "range", "what it is", "reference"], metrics, "")
        + "<p>A score is taken of each picture on its own, then averaged over the pictures; identical pictures have an "
        "infinite PSNR and are left out of its mean. Intervals are percentile bootstrap intervals over pictures.</p>"
    )


def _settings(document: Mapping[str, Any], scale: int | None) -> str:
    window = document["window"]
    shown = {k: v for k, v in document.items() if k not in {"name", "description", "window", "metrics"}}
    shown["crop"] = f"{scale} (scale)" if shown["crop"] == "scale" else shown["crop"]
    return ", ".join(f"{key} {value}" for key, value in shown.items()) + f", SSIM window {_flat(window)}"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_flat(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    return str(value)


def _origin(result: Result) -> str:
    known = result.provenance
    facts = {
        **{DATA_FACTS.get(key, key): _flat(value) for key, value in known.data.items() if value is not None},
        "commit": known.commit or "not a checkout",
        "seeds": _flat(known.seeds),
        **{key: _flat(value) for key, value in known.machine.items()},
        "peak memory": ", ".join(f"{key} {value:.0f} MiB" for key, value in known.peak_memory_mib.items()) or "unknown",
        "versions": ", ".join(f"{key} {value}" for key, value in known.versions.items()),
        "finished": known.finished,
    }
    parts = [f"<pre>{escape(known.command)}</pre>", _definitions(facts)]
    if len(known.origins) > 1:
        columns = ("restore", "commit", "device", "restorations")
        cells = [[_flat(origin.get(column, "unknown")) for column in columns] for origin in known.origins]
        parts.append(_table(columns, cells, "It was continued: the records were made by more than one of these."))
    for method in known.methods:
        rows = [
            row
            for row in result.rows
            if (row.series.model, row.series.task) == (method["model"], method.get("task", ""))
        ]
        times = [row.seconds for row in rows if row.seconds is not None]
        seen = math.fsum(row.tiles * row.pictures for row in rows) / max(1, sum(row.pictures for row in rows))
        shown = {key: _flat(value) for key, value in method.items() if key != "model"}
        if times:
            shown["seconds a picture"] = f"{math.fsum(times) / len(times):.2f}"
            shown["network evaluations"] = f"{seen:.0f} tiles a picture on average, over all steps and samples"
        parts.append(f"<h3>{escape(method['model'])}{escape('/' + method['task'] if method.get('task') else '')}</h3>")
        parts.append(_definitions(shown))
    return "\n".join(parts)


def _definitions(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>"


def _table(header: Sequence[str], cells: Sequence[Sequence[str]], caption: str, reported: Sequence[bool] = ()) -> str:
    right = [bool(cells) and all(numeric(line[i]) for line in cells) for i in range(len(header))]
    classes = [' class="n"' if flush else "" for flush in right]
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for text, kind in zip(header, classes, strict=True))
    body = []
    for index, line in enumerate(cells):
        kind = ' class="reported"' if index < len(reported) and reported[index] else ""
        columns = "".join(f"<td{c}>{escape(text)}</td>" for text, c in zip(line, classes, strict=True))
        body.append(f"<tr{kind}>{columns}</tr>")
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )
