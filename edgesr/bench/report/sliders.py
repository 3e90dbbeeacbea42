"""Pictures before and after, with a line between them that can be moved, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgesr.bench.record import Document
from edgesr.bench.report.exhibits import FULL_DIFFERENCE, Exhibit
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import significant


def sliders(document: Document, exhibits: Sequence[Exhibit]) -> list[str]:
    """Return the part of the page that shows pictures; empty without any."""
    if not exhibits:
        return []
    names = titles(document.rows)
    parts = ["<h2>Pictures</h2>"]
    parts.append(
        '<p class="note">Left of the line the input, enlarged bicubically where the model enlarges it; right of the '
        "line what the model made or found.</p>"
    )
    parts.append('<div class="exhibits">')
    for number, shown in enumerate(exhibits):
        parts += _exhibit(number, shown, names[shown.row])
    return [*parts, "</div>"]


def _exhibit(number: int, shown: Exhibit, model: str) -> list[str]:
    title = f"{model}: {shown.name}"
    size = f'width="{shown.width}" height="{shown.height}"'
    parts = [f'<section class="exhibit" aria-label="{escape(title)}"><h3>{escape(title)}</h3>']
    parts.append('<div class="slider">')
    before, after = shown.names
    parts.append(f'<img src="{shown.before}" {size} alt="{escape(shown.name)}, {before}">')
    parts.append(
        f'<img class="after" src="{shown.after}" {size} alt="{escape(shown.name)}, {after} by {escape(model)}">'
    )
    parts.append(f'<span class="tag left">{before}</span><span class="tag right">{after}</span></div>')
    parts.append(
        f'<label class="note" for="cut-{number}">How much is {before}</label>'
        f'<input id="cut-{number}" type="range" min="0" max="100" value="50">'
    )
    parts.append('<div class="maps">')
    if shown.reference is not None:
        parts.append(_map(shown.reference, size, "The reference", ""))
    if shown.difference is not None:
        full = f"{FULL_DIFFERENCE:.0f}"
        ends = f"<span>-{full}</span><span>0</span><span>+{full}</span>"
        ends = f'<div class="ramp signed"></div><div class="ends">{ends}</div>'
        parts.append(_map(shown.difference, size, f"Difference to {shown.against}, grey levels of 255", ends))
    if shown.uncertainty is not None:
        full = significant(shown.full_uncertainty, 2)
        ends = f'<div class="ramp heat"></div><div class="ends"><span>0</span><span>{full}</span></div>'
        parts.append(_map(shown.uncertainty, size, "Predicted error bound, grey levels of 255", ends))
    parts.append("</div>")
    if shown.is_cut:
        parts.append(f'<p class="note">Cut to the middle {shown.width} x {shown.height} pixels.</p>')
    return [*parts, "</section>"]


def _map(source: str, size: str, title: str, ends: str) -> str:
    image = f'<img src="{source}" {size} alt="{escape(title)}">'
    return f"<figure>{image}{ends}<figcaption>{escape(title)}</figcaption></figure>"
