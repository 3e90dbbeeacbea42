"""Rows that an earlier, interrupted run left in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesr.bench.machine import differences
from edgesr.bench.record import Reading, Row
from edgesr.bench.record_json import read_document
from edgesr.bench.spec import Spec
from edgesr.errors import UsageError


def finished_rows(
    path: Path, specs: Sequence[Spec], machine: Mapping[str, Reading], settings: Mapping[str, Any]
) -> dict[int, Row]:
    """Return the valid rows of ``path`` by the number of their setting; empty where the file does not exist yet.

    Raises UsageError for a file of another machine or with other settings.
    """
    if not path.exists():
        return {}
    document = read_document(path)
    found = differences(document.machine, machine)
    found += [f"{name}" for name, value in settings.items() if document.settings.get(name) != value]
    if found:
        raise UsageError(
            f"{path} cannot be resumed, it differs in {'; '.join(found)}; leave out --resume to begin anew"
        )
    rows = [row for row in document.rows if row.status == "valid"]
    return {number: row for number, spec in enumerate(specs) for row in rows if dict(row.asked) == spec.asked}
