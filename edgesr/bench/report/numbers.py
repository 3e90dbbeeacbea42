"""Numbers as people read them."""

from __future__ import annotations

import math

from edgesr.bench.metrics.catalogue import FIGURES
from edgesr.bench.record import Document, Reading, Row

_FEW = 8


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits and no exponent, e.g. ``0.0123``, ``12.3``, ``12300``."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "-"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{round(value, places):.{max(places, 0)}f}"


def quantity(value: float, unit: str) -> str:
    """Write a number with its unit, in the prefix that people would choose: ms and s, mJ and J, MB and GB."""
    if unit == "ms" and value >= 1e4:
        return f"{significant(value / 1e3)} s"
    if unit == "J" and 0 < value < 0.1:
        return f"{significant(value * 1e3)} mJ"
    if unit == "bytes":
        big = value >= 1e9
        return f"{significant(value / (1e9 if big else 1e6))} {'GB' if big else 'MB'}"
    return f"{significant(value)} {unit}".rstrip()


def show_figure(value: float | None, metric: str, *, unit: bool = True) -> str:
    """Write a quality figure with the metric's digits; a dash where there is none."""
    if value is None:
        return "-"
    entry = FIGURES[metric]
    text = f"{value:.{entry.digits}f}" if math.isfinite(value) else significant(value)
    return f"{text} {entry.unit}".rstrip() if unit and entry.unit == "dB" else text


def show_reading(reading: Reading) -> str:
    """Write a fact about the machine, or why it is not known."""
    value = reading.value
    if value is None:
        return f"unknown ({reading.missing})" if reading.missing else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and reading.unit:
        return quantity(float(value), reading.unit)
    return str(value) if not isinstance(value, float) else significant(value, 4)


def show_settings(document: Document) -> str:
    """Write the settings in one line; of many pictures the first few."""
    told = []
    for name, value in document.settings.items():
        if isinstance(value, list | tuple):
            rest = f" and {len(value) - _FEW} more" if len(value) > _FEW else ""
            value = " ".join(map(str, value[:_FEW])) + rest
        told.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(told) or "defaults"


def reading_of(row: Row, group: str, name: str) -> float | None:
    """Return a number of ``row.memory``, ``row.power`` or ``row.temperatures``; None where it is not known."""
    reading = getattr(row, group).get(name)
    value = reading.value if reading is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
