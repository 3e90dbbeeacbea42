"""Right labels class by class, for the page of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edgesr.bench.record import Document
from edgesr.bench.report.names import titles

_MOST = 100


def by_class(document: Document) -> list[str]:
    """Return a folded table of the classes for every row that was compared with the truth."""
    parts = []
    for name, row in zip(titles(document.rows), document.rows, strict=True):
        classes = (row.quality or {}).get("classes") or {}
        if classes:
            parts.append(f"<details><summary>{escape(name)}: {len(classes)} classes</summary>")
            parts += [*_table(classes), "</details>"]
    return parts


def _table(classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    heads = list(next(iter(classes.values())))
    shown = list(classes.items())[:_MOST]
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    parts = [f'<div class="scroll"><table><thead><tr><th scope="col">class</th>{cells}</tr></thead><tbody>']
    for name, values in shown:
        numbers = "".join(f"<td>{_number(values.get(head))}</td>" for head in heads)
        parts.append(f'<tr><th scope="row">{escape(name)}</th>{numbers}</tr>')
    parts.append("</tbody></table></div>")
    if len(shown) < len(classes):
        parts.append(f'<p class="note">The JSON document lists {len(classes) - len(shown)} more.</p>')
    return parts


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.4f}"
