"""What rows are called: as short as tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from edgesr.bench.record import Row


def titles(rows: Sequence[Row]) -> list[str]:
    """Return a name for every row: its model, and of precision, steps, tile, controls and device what differs."""
    parts = [_parts(row) for row in rows]
    # A model that could not be opened has neither precision nor device of its own.
    telling = [part for part, row in zip(parts, rows, strict=True) if row.status != "failed"] or parts
    vary = [len({part[column] for part in telling}) > 1 for column in range(1, 6)]
    # What it was asked for, it was asked for by name.
    vary[0] |= len({row.precision for row in rows if row.status != "failed" or row.asked.get("precision")}) > 1
    found = [
        " ".join([part[0], *(text for text, varies in zip(part[1:], vary, strict=True) if varies and text)])
        for part in parts
    ]
    counts = {name: found.count(name) for name in found}
    seen: dict[str, int] = {}
    for index, name in enumerate(found):
        if counts[name] > 1:
            seen[name] = seen.get(name, 0) + 1
            found[index] = f"{name} #{seen[name]}"
    return found


def _parts(row: Row) -> tuple[str, ...]:
    controls = " ".join(f"{name} {value}" for name, value in (row.asked.get("controls") or {}).items())
    steps = "" if row.steps is None else f"{row.steps} steps"
    tile = "" if row.tile is None else f"tile {row.tile}"
    is_path = "/" in row.model or row.model.endswith((".onnx", ".edgesr"))
    return (PurePath(row.model).name if is_path else row.model, row.precision, steps, tile, controls, row.device)
