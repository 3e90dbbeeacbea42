"""Two benchmark documents row by row: faster, slower or noise."""

from __future__ import annotations

from dataclasses import dataclass

from edgesr.bench.machine import differences
from edgesr.bench.record import Document, Row
from edgesr.bench.statistics import Change, compare_samples
from edgesr.errors import UsageError

SETTINGS = ("pictures", "downscale")
"""Settings that must agree: other pictures take other times."""
_METRICS = ("psnr", "ssim", "lpips", "top1", "miou", "map", "agreement")


@dataclass(frozen=True)
class RowChange:
    """One row of both documents."""

    title: str
    old_ms: float | None
    new_ms: float | None
    """Medians end to end."""
    change: Change | None
    """None where one of them has no samples."""
    quality: dict[str, tuple[float, float]]
    """Old and new mean of the metrics that both have."""
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``faster``, ``slower``, ``noise``, or ``not compared``."""
        return self.change.verdict if self.change else "not compared"


@dataclass(frozen=True)
class Comparison:
    """Everything that two documents have in common."""

    rows: tuple[RowChange, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    differences: tuple[str, ...]
    """In what machine and settings differ; empty unless the comparison was forced."""


def compare_documents(old: Document, new: Document, *, force: bool = False) -> Comparison:
    """Compare the rows that both have; raise UsageError for other machines or pictures unless ``force``."""
    found = differences(old.machine, new.machine)
    for name in SETTINGS:
        if old.settings.get(name) != new.settings.get(name):
            found.append(f"{name} are not the same")
    if found and not force:
        raise UsageError(
            f"the two results cannot be compared: {'; '.join(found)}; measure again where the old one was measured, or "
            "give --force to see the figures nevertheless"
        )
    before, after = ({_key(row): row for row in document.rows} for document in (old, new))
    if len(before) < len(old.rows) or len(after) < len(new.rows):
        raise UsageError("a result has two rows of the same model and setting; compare results of single runs")
    rows = [_compare(before[key], row) for key, row in after.items() if key in before]
    if not rows:
        raise UsageError("the two results have no model and setting in common")
    return Comparison(
        tuple(rows),
        tuple(title(row) for key, row in before.items() if key not in after),
        tuple(title(row) for key, row in after.items() if key not in before),
        tuple(found),
    )


def title(row: Row) -> str:
    """Return model and setting in words."""
    parts = [row.model, row.precision, row.device]
    parts += [f"{row.steps} steps"] if row.steps else []
    parts += [f"tile {row.tile}"] if row.tile else []
    return ", ".join(parts)


def _key(row: Row) -> tuple[object, ...]:
    controls = sorted((row.asked.get("controls") or {}).items())
    return (row.model, row.precision, row.device, row.steps, row.tile, row.asked.get("threads"), str(controls))


def _compare(old: Row, new: Row) -> RowChange:
    notes = []
    if old.sha256 and new.sha256 and old.sha256 != new.sha256:
        notes.append("the model is another one of the same name")
    for when, row in (("old", old), ("new", new)):
        if row.status != "valid":
            notes.append(f"the {when} row is {row.status}: {'; '.join(row.reasons)}")
    if old.conditions != new.conditions:
        changed = [name for name in new.conditions if old.conditions.get(name) != new.conditions[name]]
        notes.append(f"measured under other conditions: {', '.join(changed) or 'fewer are told'}")
    samples = [row.stages["end_to_end"].samples if "end_to_end" in row.stages else () for row in (old, new)]
    change = compare_samples(*samples) if min(map(len, samples)) > 1 else None
    both = {name: (old.figure(name), new.figure(name)) for name in _METRICS}
    return RowChange(
        title(new),
        old.latency.median if old.latency else None,
        new.latency.median if new.latency else None,
        change,
        {name: (a, b) for name, (a, b) in both.items() if a is not None and b is not None},
        tuple(notes),
    )
