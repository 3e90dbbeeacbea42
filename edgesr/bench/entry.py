"""One setting on its way to a row: opened, its pictures read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesr.bench.opening import open_subject
from edgesr.bench.pairs import PicturePair
from edgesr.bench.plan import Plan, Watchers
from edgesr.bench.record import Row
from edgesr.bench.spec import Spec
from edgesr.bench.subject import Subject
from edgesr.bench.timing import Clock
from edgesr.errors import EdgesrError, InputError
from edgesr.types import Array


@dataclass
class Entry:
    """One setting with its model, or the error that it failed with."""

    spec: Spec
    subject: Subject | None = None
    error: EdgesrError | None = None
    first: Mapping[str, float] = field(default_factory=dict)
    quality: dict[str, Any] | None = None
    pictures: list[Array] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_entry(spec: Spec, folder: Path, plan: Plan, told: Watchers, *, clock: Clock, stack: ExitStack) -> Entry:
    """Load the model, read its pictures and run the first one; what it raises is kept."""
    entry = Entry(spec)
    try:
        subject = stack.enter_context(
            open_subject(spec, folder, calib=plan.calib, clock=clock, note=told.note, tick=told.tick)
        )
        entry.subject = subject
        _read_pictures(entry, subject, plan.timed)
        subject.use(entry.pictures[:1])
        entry.first = subject.run(0)
        subject.use(entry.pictures)
        subject.time_on_device()
        subject.choose_runtimes()
    except EdgesrError as error:
        entry.error = error
        told.note(f"{spec.title}: {error}")
    return entry


def _read_pictures(entry: Entry, subject: Subject, pairs: Sequence[PicturePair]) -> None:
    """Read what the model is timed with; pictures that cannot be read are left out and told."""
    for pair in pairs:
        try:
            entry.pictures.append(subject.input_of(pair))
        except InputError as error:
            entry.notes.append(f"not timed: {error}")
    if not entry.pictures:
        raise InputError(f"no picture can be read: {entry.notes[0].removeprefix('not timed: ')}")


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return what a row says of its model, whether it ran or not."""
    spec, subject = entry.spec, entry.subject
    facts: dict[str, Any] = {
        "model": spec.model,
        "asked": spec.asked,
        "steps": spec.steps,
        "tile": spec.tile,
        "sha256": "",
        "precision": spec.precision or "as it is",
        "device": spec.device,
    }
    if subject is None:
        return facts
    known = {"sha256": subject.sha256, "precision": subject.precision, "device": subject.backend.name}
    return {**facts, **known, "task": subject.task, "scale": subject.scale}


def failed_row(entry: Entry) -> Row:
    """Return the row of a model that failed."""
    return Row(
        **facts_of(entry), status="failed", reasons=(str(entry.error),), notes=tuple(entry.notes), quality=entry.quality
    )
