"""The columns that all reports share, and the table for terminals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgesr.bench.metrics.catalogue import FIGURES
from edgesr.bench.pareto import best_rows, main_metrics, shown_metrics
from edgesr.bench.record import Document, Row
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import quantity, reading_of, show_figure, significant


@dataclass(frozen=True)
class Column:
    """One column: its head, and the text and the number of every row."""

    title: str
    texts: tuple[str, ...]
    values: tuple[float | None, ...] | None
    """What is sorted by; None for columns of words."""


def columns(document: Document) -> list[Column]:
    """Return the columns that any row has something to say in."""
    rows = document.rows
    found = [Column("model", tuple(titles(rows)), None)]
    latency: list[tuple[str, Callable[[Row], float | None]]] = [
        ("median ms", lambda row: row.latency.median if row.latency else None),
        ("p90 ms", lambda row: row.latency.p90 if row.latency else None),
        ("p99 ms", lambda row: row.latency.p99 if row.latency else None),
        ("first ms", lambda row: row.first_ms),
        ("load ms", lambda row: row.load_ms),
        ("images/s", lambda row: max((one.images_per_second for one in row.throughput), default=None)),
        ("J/image", lambda row: row.joules_per_image),
        ("W", lambda row: reading_of(row, "power", "watts")),
    ]
    found += [_numbers(title, rows, value, significant) for title, value in latency]
    memory = _numbers("memory", rows, lambda row: reading_of(row, "memory", "peak_rss"), lambda n: quantity(n, "bytes"))
    found.append(memory)
    for name in shown_metrics(rows):
        title = FIGURES[name].title + (f" {FIGURES[name].unit}" if FIGURES[name].unit == "dB" else "")
        found.append(_figures(title, rows, name))
        if name in main_metrics(rows):
            found.append(_deltas(f"{FIGURES[name].title} less FP32's", rows, name))
    return found[:1] + [column for column in found[1:] if any(text != "-" for text in column.texts)]


def marks(document: Document) -> list[str]:
    """Return what each row is: ``best``, ``INVALID``, ``FAILED`` or nothing."""
    rows = document.rows
    best = best_rows(rows)
    return [row.status.upper() if row.status != "valid" else "best" if i in best else "" for i, row in enumerate(rows)]


def terminal(document: Document) -> list[str]:
    """Return the lines of the table, and one for every reason and note."""
    shown = columns(document)
    marked = marks(document)
    cells = [[column.title for column in shown] + [""]]
    cells += [[*texts, mark] for *texts, mark in zip(*(column.texts for column in shown), marked, strict=True)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *rest = (
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    for name, one in zip(shown[0].texts, document.rows, strict=True):
        lines += [f"{name}: {one.status.upper()}: {reason}" for reason in one.reasons]
    if "best" in marked:
        lines.append(f"best: {best_means(document.rows)}")
    return lines


def best_means(rows: Sequence[Row]) -> str:
    """Say what the best choices are best in."""
    titles = [FIGURES[name].title for name in main_metrics(rows)]
    return f"no other gives {' or '.join(f'a better {title}' for title in titles)} in as little time"


def _numbers(
    title: str, rows: Sequence[Row], value: Callable[[Row], float | None], show: Callable[[float], str]
) -> Column:
    values = tuple(value(row) for row in rows)
    return Column(title, tuple("-" if number is None else show(number) for number in values), values)


def _figures(title: str, rows: Sequence[Row], name: str) -> Column:
    values = tuple(row.figure(name) for row in rows)
    return Column(title, tuple(show_figure(value, name, unit=False) for value in values), values)


def _deltas(title: str, rows: Sequence[Row], name: str) -> Column:
    values = tuple(row.delta(name) for row in rows)
    digits = FIGURES[name].digits
    return Column(title, tuple("-" if value is None else f"{value:+.{digits}f}" for value in values), values)
