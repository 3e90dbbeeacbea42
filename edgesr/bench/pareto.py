"""The best choices of a benchmark: quality over latency or energy, and the one that fits a wish."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgesr.bench.metrics.catalogue import FIGURES
from edgesr.bench.record import Row
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import quantity, show_figure
from edgesr.errors import UsageError

Cost = Literal["ms", "J"]
_UNITS: dict[str, tuple[Cost, float]] = {
    "us": ("ms", 1e-3),
    "ms": ("ms", 1),
    "s": ("ms", 1e3),
    "mj": ("J", 1e-3),
    "j": ("J", 1),
}
_BUDGET = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """The most that one picture may cost."""

    most: float
    unit: Cost
    """Milliseconds end to end, which nine of ten pictures must keep, or joules per picture."""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``30ms``, ``0.5 s``, ``2J`` or ``300mJ``; raise UsageError for anything else."""
        match = _BUDGET.fullmatch(text)
        if match is None or match[2].lower() not in _UNITS or not 0 < float(match[1]) < math.inf:
            raise UsageError(f"a budget is a number above 0 with ms, s, mJ or J, such as 30ms or 2J, got {text!r}")
        unit, factor = _UNITS[match[2].lower()]
        return cls(float(match[1]) * factor, unit)

    def __str__(self) -> str:
        """The budget with its unit."""
        return quantity(self.most, self.unit)


@dataclass(frozen=True)
class Recommendation:
    """What fits a wish."""

    row: int | None
    """Index of the row; None where none fits."""
    sentence: str


def cost_of(row: Row, unit: Cost) -> float | None:
    """Return what one picture costs: the median milliseconds, or joules; None where it is not known."""
    if unit == "J":
        return row.joules_per_image
    return row.latency.median if row.latency else None


def goodness(value: float, metric: str) -> float:
    """Return a number that is higher the better the figure is."""
    better = FIGURES[metric].better
    return value if better == "higher" else -value if better == "lower" else -abs(value - 1.0)


def shown_metrics(rows: Sequence[Row]) -> list[str]:
    """Return the quality figures that any row has, in the order of tables."""
    return [name for name in FIGURES if any(row.figure(name) is not None for row in rows)]


def main_metrics(rows: Sequence[Row]) -> list[str]:
    """Return the figures that rows are judged by, one for each task among them, those of the first row first."""
    return list(dict.fromkeys(row.main_figure for row in rows if row.main_figure is not None))


def best_rows(rows: Sequence[Row], unit: Cost = "ms") -> set[int]:
    """Return the indices of the best choices among the rows that are judged alike."""
    return {
        index
        for metric in main_metrics(rows)
        for index in frontier(rows, metric, unit)
        if rows[index].main_figure == metric
    }


def frontier(rows: Sequence[Row], metric: str, unit: Cost = "ms") -> list[int]:
    """Return the indices of the valid rows that no other one equals at less cost or betters at no more, cheapest first.

    Of rows that agree in both the first counts.
    """
    points = [
        (cost, -goodness(figure, metric), index)
        for index, row in enumerate(rows)
        if row.status == "valid"
        and (cost := cost_of(row, unit)) is not None
        and (figure := row.figure(metric)) is not None
        and math.isfinite(figure)
    ]
    best = math.inf
    chosen = []
    for _, badness, index in sorted(points):
        if badness < best:
            best = badness
            chosen.append(index)
    return chosen


def recommend(
    rows: Sequence[Row], *, budget: Budget | None = None, least: float | None = None, metric: str | None = None
) -> Recommendation:
    """Return the best row within a budget, the cheapest that reaches ``least``, or the best that does both, with why.

    ``metric`` is what the first row is judged by unless said otherwise, and PSNR for ``least``.
    """
    known = main_metrics(rows)
    metric = metric or ("psnr" if least is not None or not known else known[0])
    if metric not in FIGURES:
        raise UsageError(f"there is no metric {metric!r}; use {', '.join(FIGURES)}")
    unit: Cost = budget.unit if budget else "ms"
    names = titles(rows)
    valid = [index for index, row in enumerate(rows) if row.status == "valid" and row.figure(metric) is not None]
    valid = [index for index in valid if _spent(rows[index], unit) is not None]
    if not valid:
        what = FIGURES[metric].title if known or least is not None else "quality"
        return Recommendation(None, f"nothing can be recommended: no valid row has {what} and {_COSTS[unit]}")
    within = [index for index in valid if budget is None or (_spent(rows[index], unit) or 0.0) <= budget.most]
    fits = [i for i in within if least is None or goodness(_figure(rows[i], metric), metric) >= goodness(least, metric)]
    wish = _wish(budget, least, metric)
    if not fits:
        return Recommendation(
            None, f"nothing can {wish}: {_nearest({i: rows[i] for i in valid}, names, budget, metric, unit)}"
        )
    by_quality = sorted(fits, key=lambda i: (-goodness(_figure(rows[i], metric), metric), _spent(rows[i], unit)))
    by_cost = sorted(fits, key=lambda i: (_spent(rows[i], unit), -goodness(_figure(rows[i], metric), metric)))
    chosen, why = (
        (by_quality[0], "the best") if budget else (by_cost[0], "the cheapest" if unit == "J" else "the fastest")
    )
    sentence = f"{names[chosen]}: {_told(rows[chosen], metric, unit)}, {why} of {len(fits)} that {wish}"
    beyond = [i for i in valid if i not in fits and _is_better(rows[i], rows[chosen], metric)]
    if budget and beyond:
        next_one = min(beyond, key=lambda i: _spent(rows[i], unit) or 0.0)
        sentence += f"; {names[next_one]} would give {_told(rows[next_one], metric, unit)}"
    return Recommendation(chosen, sentence)


_COSTS = {"ms": "a latency", "J": "joules per picture"}


def _figure(row: Row, metric: str) -> float:
    value = row.figure(metric)
    return -math.inf if value is None else value


def _spent(row: Row, unit: Cost) -> float | None:
    """Return what a budget is held against: the 90th percentile of the milliseconds, or joules."""
    if unit == "J":
        return row.joules_per_image
    return row.latency.p90 if row.latency else None


def _is_better(row: Row, than: Row, metric: str) -> bool:
    return goodness(_figure(row, metric), metric) > goodness(_figure(than, metric), metric)


def _wish(budget: Budget | None, least: float | None, metric: str) -> str:
    most = {"higher": "at least", "lower": "at most", "one": "as near to 1 as"}[FIGURES[metric].better]
    parts = [f"keep within {budget}"] if budget else []
    parts += [f"have {most} {show_figure(least, metric)} of {FIGURES[metric].title}"] if least is not None else []
    return " and ".join(parts) or "were measured"


def _told(row: Row, metric: str, unit: Cost) -> str:
    spent = _spent(row, unit)
    shown = "" if spent is None else quantity(spent, unit)
    percentile = " (90th percentile)" if unit == "ms" else " a picture"
    return f"{FIGURES[metric].title} {show_figure(_figure(row, metric), metric)} in {shown}{percentile}"


def _nearest(rows: Mapping[int, Row], names: Sequence[str], budget: Budget | None, metric: str, unit: Cost) -> str:
    best = max(rows, key=lambda i: goodness(_figure(rows[i], metric), metric))
    cheapest = min(rows, key=lambda i: _spent(rows[i], unit) or 0.0)
    told = [f"the best is {names[best]} with {_told(rows[best], metric, unit)}"]
    if budget and cheapest != best:
        told.append(f"the cheapest {names[cheapest]} with {_told(rows[cheapest], metric, unit)}")
    return ", ".join(told)
