"""A benchmark as one HTML page that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from edgesr.bench.metrics.catalogue import FIGURES
from edgesr.bench.pareto import Cost, Recommendation, best_rows, cost_of, frontier, main_metrics, shown_metrics
from edgesr.bench.record import STAGES, Document, Reading, Row
from edgesr.bench.report.classes import by_class
from edgesr.bench.report.exhibits import Exhibit
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import quantity, show_figure, show_reading, show_settings, significant
from edgesr.bench.report.plot import plot, points_of, sparkline
from edgesr.bench.report.sliders import sliders
from edgesr.bench.report.table import columns, marks
from edgesr.model.atomic import replacing, saying_why

_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STAGE_TITLES = {
    "pre": "prepare",
    "h2d": "copy to the device",
    "compute": "compute",
    "d2h": "copy back",
    "post": "finish",
}


def html(document: Document, exhibits: Sequence[Exhibit] = (), recommendation: Recommendation | None = None) -> str:
    """Return the page; ``exhibits`` are pictures of its rows, ``recommendation`` answers a wish at its top."""
    body = [
        *_head(document, recommendation),
        *_plots(document),
        *_table(document),
        *by_class(document),
        *sliders(document, exhibits),
        *_times(document),
        *_facts(document),
    ]
    style, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>edgesr benchmark, {escape(document.created[:10])}</title>",
            f"<style>\n{style}</style></head><body><main>",
            *body,
            f"</main><script>\n{script}</script></body></html>",
            "",
        ]
    )


def write_html(
    path: Path, document: Document, exhibits: Sequence[Exhibit] = (), recommendation: Recommendation | None = None
) -> None:
    """Write the page, whole or not at all."""
    text = html(document, exhibits, recommendation)
    with saying_why(path), replacing(path) as stream:
        stream.write(text.encode())


def _head(document: Document, recommendation: Recommendation | None) -> list[str]:
    machine = document.machine
    where = ", ".join(show_reading(machine[n]) for n in ("board", "cpu", "gpu") if n in machine and machine[n].value)
    parts = ["<h1>Quality and latency</h1>"]
    parts.append(f'<p class="lead">{escape(document.created)}, {escape(where)}, edgesr {escape(document.edgesr)}</p>')
    if recommendation is not None:
        parts.append(f'<p class="answer">{escape(recommendation.sentence)}</p>')
    bad = [(i, row) for i, row in enumerate(document.rows) if row.status != "valid"]
    if bad:
        names = titles(document.rows)
        parts.append('<div class="warning" role="note"><strong>Not to be trusted:</strong><ul>')
        for index, row in bad:
            for reason in row.reasons or ("no reason is known",):
                parts.append(f"<li>{escape(names[index])}: {row.status.upper()}: {escape(reason)}</li>")
        parts.append("</ul></div>")
    return parts


def _plots(document: Document) -> list[str]:
    rows = document.rows
    costs: tuple[Cost, ...] = ("ms", "J")
    judging = main_metrics(rows)
    order = [*judging, *(metric for metric in shown_metrics(rows) if metric not in judging)]
    asked = [(metric, unit) for unit in costs for metric in order if points_of(rows, metric, unit)]
    drawn = [_plot(document, metric, unit) for metric, unit in asked]
    if not drawn:
        return ['<p class="note">No row has both a latency and a quality figure, so there is nothing to plot.</p>']
    first = max(1, sum(unit == "ms" and metric in judging for metric, unit in asked))
    parts = ["<h2>What quality costs</h2>", *_choices(document), *drawn[:first]]
    parts.append(
        '<p class="note">Blue points are the best choices: nothing gives more in as little time. Bars across span the '
        "10th to 90th percentile of the times; bars along the quality axis are the 95 % interval of the mean over "
        "pictures, without what all rows owe to the pictures (Cousineau 2005, Morey 2008); of mIoU the bootstrap's. "
        "Dashed red circles are invalid rows, which are never among the best.</p>"
    )
    if drawn[first:]:
        parts += [f"<details><summary>{len(drawn) - first} more plots</summary>", *drawn[first:], "</details>"]
    return parts


def _plot(document: Document, metric: str, unit: Cost) -> str:
    rows, names = document.rows, titles(document.rows)
    best = frontier(rows, metric, unit)
    title = f"{FIGURES[metric].title} over {'latency' if unit == 'ms' else 'energy'}"
    lines = [f"<figure><h3>{escape(title)}</h3>"]
    lines.append(f'<div class="wide">{plot(rows, metric, unit, width=900, height=460)}</div>')
    lines.append(f'<div class="narrow">{plot(rows, metric, unit, width=343, height=330)}</div>')
    lines.append('<ol class="legend">')
    for point in points_of(rows, metric, unit):
        kind = ' class="best"' if point.index in best else ""
        link = f'<a href="#row-{point.index + 1}">{point.index + 1} {escape(names[point.index])}</a>'
        lines.append(f"<li{kind}>{link}</li>")
    return "\n".join([*lines, "</ol></figure>"])


def _choices(document: Document) -> list[str]:
    rows, names = document.rows, titles(document.rows)
    best = sorted(best_rows(rows), key=lambda i: (main_metrics(rows).index(rows[i].main_figure or ""), _cost(rows[i])))
    parts = ["<ul>"]
    for index in best:
        metric = rows[index].main_figure
        assert metric is not None
        figure = f"{FIGURES[metric].title} {show_figure(rows[index].figure(metric), metric)}"
        spent = quantity(_cost(rows[index]), "ms")
        parts.append(f"<li><strong>{escape(names[index])}</strong>: {escape(figure)} in {escape(spent)}</li>")
    return [*parts, "</ul>"]


def _cost(row: Row) -> float:
    return cost_of(row, "ms") or 0.0


def _table(document: Document) -> list[str]:
    shown = columns(document)
    parts = ["<h2>All rows</h2>", '<div class="scroll" tabindex="0" role="region" aria-label="All rows">']
    parts.append('<table class="sortable"><caption>A click on a head sorts.</caption><thead><tr>')
    heads = ["#", shown[0].title, *(column.title for column in shown[1:]), "mark"]
    parts += [f'<th scope="col"><button type="button">{escape(title)}</button></th>' for title in heads]
    parts.append("</tr></thead><tbody>")
    for index, mark in enumerate(marks(document)):
        kind = "best" if mark == "best" else "bad"
        parts.append(f'<tr id="row-{index + 1}"><td data-value="{index + 1}">{index + 1}</td>')
        parts.append(f'<th scope="row">{escape(shown[0].texts[index])}</th>')
        for column in shown[1:]:
            value = column.values[index] if column.values else None
            sort = "" if value is None else f"{value:.9g}"
            parts.append(f'<td data-value="{sort}">{escape(column.texts[index])}</td>')
        parts.append(f'<td class="mark {kind}">{escape(mark)}</td></tr>')
    return [*parts, "</tbody></table></div>"]


def _times(document: Document) -> list[str]:
    rows, names = document.rows, titles(document.rows)
    timed = [(i, row) for i, row in enumerate(rows) if row.latency is not None]
    if not timed:
        return []
    parts = ["<h2>Where the time goes</h2>", '<ul class="legend" aria-hidden="true">']
    parts += [f'<li><span class="key s{n}"></span>{title}</li>' for n, title in enumerate(_STAGE_TITLES.values(), 1)]
    parts.append('</ul><div class="stages">')
    for index, row in timed:
        medians = {name: row.stages[name].summary.median for name in STAGES[:-1] if name in row.stages}
        told = ", ".join(f"{_STAGE_TITLES[name]} {significant(ms)} ms" for name, ms in medians.items())
        total = sum(medians.values()) or 1.0
        parts.append(f"<span>{escape(names[index])}</span>")
        parts.append(f'<div class="stack" role="img" aria-label="{escape(told)}" title="{escape(told)}">')
        for number, name in enumerate(STAGES[:-1], 1):
            if medians.get(name):
                parts.append(f'<span class="s{number}" style="width:{100 * medians[name] / total:.2f}%"></span>')
        parts.append("</div>")
    parts.append("</div><h3>Raw samples</h3>")
    parts.append(
        '<p class="note">Every picture in the order of the run, from zero up: a flat line is a steady machine.</p>'
    )
    for index, row in timed:
        summary = row.latency
        if summary is None:
            continue
        told = (
            f"{names[index]}: {summary.count} pictures, {significant(summary.min)} to {significant(summary.max)} ms, "
            f"coefficient of variation {summary.cv:.1%}"
        )
        parts.append(
            f"<figure>{sparkline(row.stages['end_to_end'].samples)}<figcaption>{escape(told)}</figcaption></figure>"
        )
    return parts


def _facts(document: Document) -> list[str]:
    names = titles(document.rows)
    parts = ["<h2>Conditions and machine</h2>", '<div class="scroll"><table class="facts"><tbody>']
    for name, row in zip(names, document.rows, strict=True):
        said = [row.device, *(f"{key}: {value}" for key, value in row.conditions.items()), *row.notes]
        parts.append(f'<tr><th scope="row">{escape(name)}</th><td>{escape("; ".join(said))}</td></tr>')
    parts.append("</tbody></table></div>")
    known = {key: reading for key, reading in document.machine.items() if reading.value is not None}
    parts += ["<h3>Machine</h3>", *_readings(known)]
    if len(known) < len(document.machine):
        unknown = {key: reading for key, reading in document.machine.items() if reading.value is None}
        parts.append(f"<details><summary>{len(unknown)} facts that are not known</summary>")
        parts += [*_readings(unknown), "</details>"]
    return [*parts, f'<p class="note">Settings: {escape(show_settings(document))}</p>']


def _readings(readings: Mapping[str, Reading]) -> list[str]:
    parts = ['<table class="facts"><thead><tr>']
    parts.append('<th scope="col">fact</th><th scope="col">value</th><th scope="col">source</th></tr></thead><tbody>')
    for key, reading in readings.items():
        cells = f"<td>{escape(show_reading(reading))}</td><td>{escape(reading.source)}</td>"
        parts.append(f'<tr><th scope="row">{escape(key.replace("_", " "))}</th>{cells}</tr>')
    return [*parts, "</tbody></table>"]
