"""Layers and the roofline of a benchmark as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgesr.bench.compare import title
from edgesr.bench.record import Document, Row

TOP = 10
_WIDTH = 40


def layer_lines(document: Document) -> list[str]:
    """Return the slowest layers of every row that has some, a chart of their shares, and how near to the peak it is."""
    lines = []
    for row in document.rows:
        if row.layers:
            lines += ["", f"{title(row)}: slowest of {len(row.layers)} layers", *_table(row), "", *_flame(row)]
        if row.roofline:
            lines += ["", *_roofline(row.roofline)]
    return lines


def _table(row: Row) -> list[str]:
    cells = [("ms", "share", "type", "name")]
    cells += [(f"{one['ms']:.3f}", f"{one['share']:.1%}", one["type"] or "-", one["name"]) for one in row.layers[:TOP]]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    return [f"{ms:>{widths[0]}}  {share:>{widths[1]}}  {kind:<{widths[2]}}  {name}" for ms, share, kind, name in cells]


def _flame(row: Row) -> list[str]:
    """Draw one bar for each type of operator, and inside it the marks where one layer ends and the next begins."""
    groups: dict[str, list[float]] = {}
    for layer in row.layers:
        groups.setdefault(layer["type"] or layer["name"], []).append(float(layer["share"]))
    ordered = sorted(groups.items(), key=lambda item: -sum(item[1]))[:TOP]
    width = max(len(name) for name, _ in ordered)
    most = max(sum(shares) for _, shares in ordered) or 1.0
    return [f"{name:<{width}}  {_bar(shares, most)}  {sum(shares):.1%} in {len(shares)}" for name, shares in ordered]


def _bar(shares: list[float], most: float) -> str:
    """Draw shares side by side, the longest line filling the width; neighbours alternate in shade."""
    drawn, edge, done = "", 0, 0.0
    for index, share in enumerate(shares):
        done += share
        end = round(done / most * _WIDTH)
        drawn += "█▓"[index % 2] * (end - edge)
        edge = end
    return (drawn or "▏").ljust(_WIDTH)


def _roofline(told: Mapping[str, Any]) -> list[str]:
    rate = told.get("operations_per_second")
    lines = [
        f"{told['operations'] / 1e9:.2f} G operations a picture, 2 for each multiply-add, "
        f"in {told['runs_per_picture']} run(s); {told['bytes_least'] / 1e6:.1f} MB at least, "
        f"{told['bytes_unfused'] / 1e6:.1f} MB when nothing is fused"
    ]
    if "layers_by" in told:
        lines.insert(0, f"layers by {told['layers_by']}")
    if told["not_counted"]:
        lines.append(f"not counted, as their sizes are not known: {', '.join(told['not_counted'][:5])}")
    if "missing" in told:
        return [*lines, f"no roofline: {told['missing']}"]
    peak = told["peak"]
    lines.append(
        f"measured peak of this machine: {peak['operations'] / 1e9:.1f} G operations/s in a FP32 matrix product, "
        f"{peak['bandwidth'] / 1e9:.1f} GB/s copying"
    )
    if rate:
        lines.append(
            f"reached {rate / 1e9:.1f} G operations/s: {told['fraction']:.0%} of the roofline ({told['limit']} is the "
            f"limit, {told['bound_ms']:.2f} ms), {told['fraction_unfused']:.0%} of the one without fusion "
            f"({told['bound_unfused_ms']:.2f} ms)" + (f"; {told['set_against']}" if "set_against" in told else "")
        )
    return lines
