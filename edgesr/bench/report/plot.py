"""Quality over cost as an SVG drawing: numbered points, error bars, and the frontier of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from edgesr.bench.metrics.catalogue import FIGURES
from edgesr.bench.metrics.figures import METRICS
from edgesr.bench.pareto import Cost, cost_of, frontier
from edgesr.bench.record import Row
from edgesr.bench.report.axis import Axis
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import quantity, show_figure

COST_TITLES: dict[Cost, str] = {"ms": "milliseconds per picture, median", "J": "joules per picture"}
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 46
_RADIUS = 10
MEANS = (*METRICS, "top1", "top5")
"""Figures that are means over pictures, which the rows of a document list."""


@dataclass(frozen=True)
class Point:
    """One row in a plot."""

    index: int
    x: float
    y: float
    x_range: tuple[float, float] | None
    """The 10th and 90th percentile of the milliseconds."""
    y_range: tuple[float, float] | None
    """The 95 % interval of the mean over pictures, without what all rows owe to the pictures."""
    label: str
    status: str


def points_of(rows: Sequence[Row], metric: str, unit: Cost) -> list[Point]:
    """Return the rows that have both numbers, finite."""
    names, ranges = titles(rows), _quality_ranges(rows, metric)
    found = []
    for index, row in enumerate(rows):
        x, y = cost_of(row, unit), row.figure(metric)
        if x is None or y is None or not math.isfinite(y) or x <= 0:
            continue
        label = f"{index + 1}: {names[index]}, {FIGURES[metric].title} {show_figure(y, metric)}, {quantity(x, unit)}"
        status = "" if row.status == "valid" else f", {row.status.upper()}"
        spread = _latency_range(row) if unit == "ms" else None
        found.append(Point(index, x, y, spread, ranges.get(index), label + status, row.status))
    return found


def plot(rows: Sequence[Row], metric: str, unit: Cost, *, width: int, height: int) -> str:
    """Return an ``<svg>`` of at least one point; every point links to ``#row-N`` of the page."""
    points = points_of(rows, metric, unit)
    best = set(frontier(rows, metric, unit))
    low = FIGURES[metric].better == "lower"
    times = [x for p in points for x in (p.x, *(p.x_range or ()))]
    x = Axis.around(times, _LEFT, width - _RIGHT, may_be_log=True)
    spread = [y for p in points for y in (p.y, *(p.y_range or ()))]
    y = Axis.around(spread, _TOP if low else height - _BOTTOM, height - _BOTTOM if low else _TOP)
    title = f"{FIGURES[metric].title} over {COST_TITLES[unit]}"
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group" '
        f'aria-label="{escape(title)}">',
        *_grid(x, y, (width, height), metric, unit),
    ]
    chosen = sorted((p for p in points if p.index in best), key=lambda p: p.x)
    if len(chosen) > 1:
        path = f"M{x.place(chosen[0].x):.1f} {y.place(chosen[0].y):.1f}"
        path += "".join(f"H{x.place(p.x):.1f}V{y.place(p.y):.1f}" for p in chosen[1:])
        parts.append(f'<path class="frontier" d="{path}"/>')
    for point in sorted(points, key=lambda p: p.index in best):
        parts += _marker(point, x, y, is_best=point.index in best)
    return "\n".join([*parts, "</svg>"])


def sparkline(samples: Sequence[float], *, width: int = 300, height: int = 40) -> str:
    """Return an ``<svg>`` of samples in the order in which they were taken, from zero to a little above the largest."""
    values = np.asarray(samples, np.float64)
    if len(values) > width:  # the extremes of every stretch
        stretches = np.array_split(values, width // 2)
        values = np.array([extreme for part in stretches for extreme in (part.min(), part.max())])
    top = float(values.max()) * 1.05 or 1.0
    across = np.linspace(0, width, len(values)) if len(values) > 1 else np.array([width / 2])
    line = " ".join(f"{a:.1f},{height - v / top * height:.1f}" for a, v in zip(across, values, strict=True))
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{line}"/></svg>'
    )


def _grid(x: Axis, y: Axis, size: tuple[int, int], metric: str, unit: Cost) -> list[str]:
    width, height = size
    bottom, right = height - _BOTTOM, width - _RIGHT
    parts = []
    for value in x.ticks(max(3, width // 110)):
        at = x.place(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{value:.10g}</text>')
    for value in y.ticks(max(3, height // 60)):
        at = y.place(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.10g}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    entry = FIGURES[metric]
    below = COST_TITLES[unit] + (" (log axis)" if x.is_log else "")
    side = entry.title + (f", {entry.unit}" if entry.unit else "")
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text class="title" x="{(_LEFT + right) / 2:.1f}" y="{height - 8}" text-anchor="middle">{below}</text>'
    )
    parts.append(
        f'<text class="title" x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">'
        f"{escape(side)}</text>"
    )
    return parts


def _marker(point: Point, x: Axis, y: Axis, *, is_best: bool) -> list[str]:
    across, down = x.place(point.x), y.place(point.y)
    kind = "bad" if point.status != "valid" else "best" if is_best else "other"
    parts = [f'<a class="point {kind}" href="#row-{point.index + 1}" aria-label="{escape(point.label)}">']
    parts.append(f"<title>{escape(point.label)}</title>")
    if point.x_range:
        left, right = (x.clipped(value) for value in point.x_range)
        parts.append(f'<path class="bar" d="M{left:.1f} {down:.1f}H{right:.1f}"/>')
    if point.y_range:
        top, bottom = (y.clipped(value) for value in point.y_range)
        parts.append(f'<path class="bar" d="M{across:.1f} {top:.1f}V{bottom:.1f}"/>')
    parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{_RADIUS}"/>')
    parts.append(f'<text x="{across:.1f}" y="{down + 4:.1f}" text-anchor="middle">{point.index + 1}</text></a>')
    return parts


def _latency_range(row: Row) -> tuple[float, float] | None:
    stage = row.stages.get("end_to_end")
    if stage is None or len(stage.samples) < 2:
        return None
    low, high = np.percentile(np.asarray(stage.samples, np.float64), [10, 90])
    return float(low), float(high)


def _quality_ranges(rows: Sequence[Row], metric: str) -> dict[int, tuple[float, float]]:
    """Return the 95 % interval of every mean over pictures, without what all rows owe to the pictures.

    From each figure the mean of its picture over all rows is taken (Cousineau 2005), and the variance corrected for it
    (Morey 2008); only pictures that all rows have count.
    """
    if metric not in MEANS:
        return _bootstrapped(rows, metric)
    known = {index: found for index, row in enumerate(rows) if (found := _by_picture(row, metric))}
    if not known:
        return {}
    shared = sorted(set.intersection(*(set(found) for found in known.values())))
    if len(shared) < 2:
        return {}
    table = np.array([[found[name] for name in shared] for found in known.values()])
    correction = 1.0
    if len(known) > 1:
        table = table - table.mean(axis=0)
        correction = math.sqrt(len(known) / (len(known) - 1))
    halves = _student(len(shared) - 1) * table.std(axis=1, ddof=1) * correction / math.sqrt(len(shared))
    means = {index: rows[index].figure(metric) or 0.0 for index in known}
    return {i: (means[i] - half, means[i] + half) for i, half in zip(known, halves.tolist(), strict=True)}


def _bootstrapped(rows: Sequence[Row], metric: str) -> dict[int, tuple[float, float]]:
    """Return the intervals of figures that are no means over pictures, as they were measured."""
    found = {}
    for index, row in enumerate(rows):
        interval = ((row.quality or {}).get("interval") or {}).get(metric)
        if interval is not None and row.figure(metric) is not None:
            found[index] = (float(interval[0]), float(interval[1]))
    return found


def _by_picture(row: Row, metric: str) -> dict[str, float]:
    pictures = (row.quality or {}).get("pictures", ())
    return {str(one["name"]): float(one[metric]) for one in pictures if one.get(metric) is not None}


def _student(freedom: int) -> float:
    """Return the 97.5 % point of Student's distribution."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    return table[freedom - 1] if freedom <= len(table) else 1.96 + 2.4 / freedom + 3.0 / freedom**2
