"""A benchmark from settings to rows; groups of models take turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from edgesr.bench.entry import failed_row, open_entry
from edgesr.bench.entry_quality import measure_entries
from edgesr.bench.machine import open_nvml
from edgesr.bench.plan import Plan, Watchers
from edgesr.bench.record import Row
from edgesr.bench.session import Session
from edgesr.bench.spec import Spec
from edgesr.bench.timing import Clock
from edgesr.device import HERE

GROUP = 4
"""So many models are in memory, and take turns, at a time."""


def run_benchmark(
    specs: Sequence[Spec],
    plan: Plan,
    watchers: Watchers | None = None,
    *,
    clock: Clock = perf_counter,
    root: Path = HERE,
) -> list[Row]:
    """Measure every setting; one that fails becomes a failed row and does not stop the others."""
    told = watchers or Watchers()
    rows: list[Row] = []
    for start in range(0, len(specs), GROUP):
        for row in _run_group(start, specs[start : start + GROUP], plan, told, clock=clock, root=root):
            told.row(row)
            rows.append(row)
    return rows


def _run_group(
    start: int, specs: Sequence[Spec], plan: Plan, told: Watchers, *, clock: Clock, root: Path
) -> Iterator[Row]:
    """Yield the row of every setting; ``start`` is the number of the first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edgesr-bench-")))
        entries = [open_entry(spec, folder, plan, told, clock=clock, stack=stack) for spec in specs]
        measure_entries(entries, plan, told, folder)
        ready = {str(number): entry for number, entry in enumerate(entries) if entry.subject and not entry.error}
        if not ready:
            yield from (failed_row(entry) for entry in entries)
            return
        nvml = open_nvml()[0]
        if nvml is not None:
            stack.callback(nvml.close)
        session = Session(next(iter(ready.values())), root, nvml, stack)
        measured = session.time(ready, plan, told, clock)
        for number, entry in enumerate(entries):
            one = measured.get(str(number))
            yield failed_row(entry) if one is None else session.row(entry, one, plan)
            if one is not None and one.error is None and entry.subject is not None:
                told.measured(start + number, entry.subject.pipeline)
