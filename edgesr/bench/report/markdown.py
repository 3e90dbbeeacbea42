"""A benchmark as Markdown."""

from __future__ import annotations

from edgesr.bench.pareto import Recommendation
from edgesr.bench.record import Document
from edgesr.bench.report.numbers import show_reading, show_settings
from edgesr.bench.report.table import columns, marks


def markdown(document: Document, recommendation: Recommendation | None = None) -> str:
    """Return the table, the reasons of invalid rows, and the machine with the source of each fact."""
    shown = columns(document)
    lines = [f"# Benchmark of {document.created}", ""]
    if recommendation is not None:
        lines += [f"**{_escaped(recommendation.sentence)}**", ""]
    lines.append(_row([column.title for column in shown] + ["mark"]))
    lines.append(_row(["---"] + ["---:"] * (len(shown) - 1) + ["---"]))
    for *texts, mark in zip(*(column.texts for column in shown), marks(document), strict=True):
        lines.append(_row([*texts, mark]))
    told = [
        f"- {_escaped(name)}: {kind}{_escaped(text)}"
        for name, row in zip(shown[0].texts, document.rows, strict=True)
        for kind, texts in ((f"{row.status.upper()}: ", row.reasons), ("", row.notes))
        for text in texts
    ]
    lines += ["", *told] if told else []
    lines += ["", "## Conditions", ""]
    for name, row in zip(shown[0].texts, document.rows, strict=True):
        said = ", ".join(f"{key}: {value}" for key, value in row.conditions.items())
        lines.append(f"- {_escaped(name)} on {_escaped(row.device)}" + (f": {_escaped(said)}" if said else ""))
    lines += ["", "## Machine", "", "| fact | value | source |", "|---|---|---|"]
    for name, reading in document.machine.items():
        lines.append(_row([name.replace("_", " "), show_reading(reading), reading.source]))
    lines += ["", f"edgesr {document.edgesr}; settings: {_escaped(show_settings(document))}", ""]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
