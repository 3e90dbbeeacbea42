"""Results of an evaluation as tables for a terminal."""

import math
from collections.abc import Iterator, Sequence

from edgesr.bench.evaluate import Measured
from edgesr.bench.label_quality import LabelQuality
from edgesr.bench.metrics import METRICS
from edgesr.bench.metrics.groups import GroupTable
from edgesr.bench.metrics.intervals import Interval
from edgesr.bench.quality import Quality

_DIGITS = 4
_MOST_CLASSES = 30
_COUNTS = ("pictures", "boxes")
_GROUPED = ("psnr", "ssim", "lpips")
"""Figures of restorations that are shown by group; the document holds all."""
_CHANCE = "p: how often groups of these sizes, drawn at random, differ as much"


def text(measured: Sequence[Measured]) -> str:
    """Return the overall table of each kind of model, the groups, the classes, and what is missing."""
    restored = [one for one in measured if isinstance(one, Quality)]
    labelled = [one for one in measured if isinstance(one, LabelQuality)]
    blocks = []
    if restored:
        blocks.append(_restored(restored))
    for one in labelled:
        blocks.append(_labelled(one))
    blocks += list(_restored_groups(restored))
    for one in labelled:
        blocks += [_labelled_group(one.model, table) for table in one.tables]
    blocks += [line for one in measured for line in _remarks(one)]
    return "\n\n".join(blocks)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines with columns under each other: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _restored(measured: Sequence[Quality]) -> str:
    names = [name for name in METRICS if any(name in one.mean for one in measured)]
    arrows = {"higher": "↑", "lower": "↓", "one": "→1"}
    heads = [f"{METRICS[name].title}{arrows[METRICS[name].better]}" for name in names]
    rows = [["mean over pictures", *heads, "pictures"]]
    for one in measured:
        means, intervals = one.mean, one.intervals
        rows.append([one.model, *(_cell(n, means.get(n), METRICS[n].digits) for n in names), str(len(one.rows))])
        if any(name in intervals for name in names):
            rows.append(["  95 %", *(_range(intervals.get(name), METRICS[name].digits) for name in names), ""])
    first = measured[0]
    units = "; ".join(f"{METRICS[n].title} in {METRICS[n].unit}" for n in names if METRICS[n].unit)
    low = ", ".join(first.options["low_resolution"])
    about = (
        f"border {first.options['border']} pixels, channel {first.options['channel']}, data range: "
        f"{first.options['data_range']}, low resolution: {low}; {units}"
    )
    return f"{aligned(rows)}\n{about}"


def _labelled(one: LabelQuality) -> str:
    rows = [[f"{one.model} ({one.task}, {_count(len(one.rows), 'picture')})", "value", "95 %"]]
    rows += [[name, f"{value:.{_DIGITS}f}", _range(one.intervals.get(name), 3)] for name, value in one.values.items()]
    lines = [aligned(rows)]
    if one.classes:
        heads = list(next(iter(one.classes.values())))
        shown = list(one.classes.items())[:_MOST_CLASSES]
        table = [["class", *heads], *([name, *(_number(h, row.get(h)) for h in heads)] for name, row in shown)]
        lines.append(aligned(table))
        if len(one.classes) > _MOST_CLASSES:
            lines.append(f"and {len(one.classes) - _MOST_CLASSES} more classes: --json lists all")
    return "\n\n".join(lines)


def _restored_groups(measured: Sequence[Quality]) -> Iterator[str]:
    tables = [(one.model, table) for one in measured for table in one.tables if table.metric in _GROUPED]
    for by in dict.fromkeys(table.by for _, table in tables):
        names = [n for n in _GROUPED if any(t.by == by and t.metric == n for _, t in tables)]
        rows = [[f"by {by}", *(word for n in names for word in (METRICS[n].title, "95 %")), "pictures", "patients"]]
        for model in dict.fromkeys(model for model, _ in tables):
            own = {t.metric: t for m, t in tables if m == model and t.by == by}
            for group, first in next(iter(own.values())).groups.items():
                cells = []
                for name in names:
                    entry = own[name].groups.get(group) if name in own else None
                    value = "-" if entry is None else f"{entry.value:.{METRICS[name].digits}f}"
                    cells += [value, _range(entry and entry.interval, METRICS[name].digits)]
                rows.append([f"{model} {group}", *cells, str(first.pictures), str(first.clusters)])
            gaps = []
            for name in names:
                table = own.get(name)
                gaps += ["-", ""] if table is None else [f"{table.gap:.{METRICS[name].digits}f}", _p(table)]
            rows.append([f"{model} largest gap", *gaps, "", ""])
        yield f"{aligned(rows)}\n{_CHANCE}"


def _labelled_group(model: str, table: GroupTable) -> str:
    rows = [[f"{model}: {table.metric} by {table.by}", "value", "95 %", "ratio", "pictures", "patients"]]
    for name, group in table.groups.items():
        ratio = "-" if group.ratio is None else f"{group.ratio:.3f}"
        counts = [str(group.pictures), str(group.clusters)]
        rows.append([name, f"{group.value:.{_DIGITS}f}", _range(group.interval, 3), ratio, *counts])
    rows.append(["average of groups", f"{table.average:.{_DIGITS}f}", "", "", "", ""])
    chance = _p(table)
    rows.append(["largest gap", f"{table.gap:.{_DIGITS}f}", chance, "", "", ""])
    return aligned(rows) + (f"\n{_CHANCE}" if chance else "")


def _p(table: GroupTable) -> str:
    return "" if table.p_value is None else f"p = {table.p_value:.2g}"


def _remarks(one: Measured) -> Iterator[str]:
    for name, why in one.missing.items():
        reason = why if isinstance(why, str) else f"{why['reason']} ({_count(why['pictures'], 'picture')})"
        yield f"{one.model}: no {name}: {reason}"
    if one.failures:
        yield f"{one.model}: {_count(len(one.failures), 'picture')} failed, of {len(one.failures) + len(one.rows)}"


def _cell(name: str, value: float | None, digits: int) -> str:
    return "-" if value is None else "equal" if math.isinf(value) and name.startswith("psnr") else f"{value:.{digits}f}"


def _range(found: Interval | None, digits: int) -> str:
    return "" if found is None else f"{found.low:.{digits}f}..{found.high:.{digits}f}"


def _number(head: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if head in _COUNTS else f"{value:.{_DIGITS}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
