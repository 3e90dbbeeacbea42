"""One stretch of measuring: the meters that watch it, and the rows that come out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from edgesr.bench.entry import Entry, facts_of, failed_row
from edgesr.bench.layers import measure_layers
from edgesr.bench.nvml import Nvml
from edgesr.bench.plan import Plan, Watchers
from edgesr.bench.power import INTERVAL, Meter, Sampler, describe_power, open_meter
from edgesr.bench.record import Row, Stage
from edgesr.bench.single_stream import sentence, single_stream
from edgesr.bench.subject import Subject
from edgesr.bench.thermal import ThrottleWatch, hottest
from edgesr.bench.throughput import measure_throughput
from edgesr.bench.timing import Clock, Measured, measure
from edgesr.bench.validity import find_faults
from edgesr.device.sysfiles import UnreadableError
from edgesr.errors import EdgesrError

_IDLE_SECONDS = 1.0
_STREAM_SECONDS = 3.0


class Session:
    """One stretch of measuring: the meters that watch it, and what they saw."""

    def __init__(self, first: Entry, root: Path, nvml: Nvml | None, stack: ExitStack) -> None:
        assert first.subject is not None
        self._root, self._nvml = root, nvml
        self._meter: Meter | None
        self._meter, self._why_none = open_meter(first.subject.backend.name, root=root, nvml=nvml)
        if self._meter is not None:
            stack.callback(self._meter.close)
        self._watch = ThrottleWatch(root, nvml)
        self._sampler = Sampler(self._meter, watch=self._watch.look)
        self._idle: float | None = None
        self._start = hottest(root, nvml)
        self._end = self._start

    def time(self, ready: Mapping[str, Entry], plan: Plan, told: Watchers, clock: Clock) -> dict[str, Measured]:
        """Measure idle power, then the times of all in turns."""
        self._idle = _idle_watts(self._meter)
        subjects = {name: entry.subject for name, entry in ready.items() if entry.subject is not None}
        # The fewest pictures that all have, so that each is timed with the same ones.
        pictures = min(len(entry.pictures) for entry in ready.values())
        with self._sampler:
            measured = measure(
                {name: subject.run for name, subject in subjects.items()},
                plan.protocol,
                pictures=pictures,
                clock=clock,
                on_progress=lambda name, share: told.progress(ready[name].spec.title, share),
            )
        self._end = hottest(self._root, self._nvml)
        return measured

    def row(self, entry: Entry, one: Measured, plan: Plan) -> Row:
        """Make the row of one model."""
        subject = entry.subject
        assert subject is not None
        if one.error is not None:
            entry.error = one.error
            return replace(failed_row(entry), stages=_stages(one))
        faults = find_faults(one.stages["end_to_end"], one.pictures, plan.limits) + self._watch.findings()
        notes = [*subject.notes, *entry.notes]
        if not one.is_warm:
            notes.append(f"the warm-up ended after {one.warmup_seconds:.1f} s before the times were stable")
        if not self._watch.sources:
            notes.append("this machine does not tell whether it throttles; only the times themselves could show it")
        if len({picture.shape for picture in entry.pictures}) > 1:
            notes.append("the pictures have several sizes: percentiles mix them")
        stream = single_stream(one.stages["end_to_end"], one.seconds) if plan.mlperf else {}
        notes += [sentence(stream)] if stream else []
        picture = entry.pictures[0]
        row = Row(
            **facts_of(entry),
            input_size=(picture.shape[1], picture.shape[0], picture.shape[2]),
            output_size=subject.output_size,
            conditions=subject.conditions(),
            stages=_stages(one),
            load_ms=subject.load_ms,
            build_ms=subject.build_ms,
            first_ms=entry.first["end_to_end"],
            warmup={"images": one.warmup_runs, "seconds": one.warmup_seconds, "is_stable": one.is_warm},
            memory=subject.memory.readings(),
            power=describe_power(self._sampler, self._meter, self._why_none, one.intervals, one.count, idle=self._idle),
            temperatures={"start": self._start, "end": self._end},
            mlperf=stream,
            quality=entry.quality,
            status="invalid" if faults else "valid",
            reasons=tuple(faults),
        )
        return _with_extras(row, subject, entry, plan, notes)


def _with_extras(row: Row, subject: Subject, entry: Entry, plan: Plan, notes: list[str]) -> Row:
    """Add throughput and layers, which may fail by themselves."""
    throughput = []
    subject.time_on_host()
    for streams in plan.streams:
        seconds = min(plan.protocol.duration, _STREAM_SECONDS)
        try:
            throughput.append(measure_throughput(subject.run, streams, seconds, pictures=len(entry.pictures)))
        except EdgesrError as error:
            notes.append(f"no throughput with {streams} streams: {error}")
    layers: dict[str, Any] = {}
    if plan.layers:
        try:
            layers = measure_layers(subject, entry.pictures[0], row)
        except EdgesrError as error:
            notes.append(f"no layers: {error}")
    return replace(row, throughput=tuple(throughput), notes=tuple(dict.fromkeys(notes)), **layers)


def _stages(one: Measured) -> dict[str, Stage]:
    return {name: Stage(tuple(float(ms) for ms in samples)) for name, samples in one.stages.items() if samples}


def _idle_watts(meter: Meter | None) -> float | None:
    """Return the mean power before the run, None where it cannot be read."""
    if meter is None:
        return None
    watts = []
    for _ in range(round(_IDLE_SECONDS / INTERVAL)):
        sleep(INTERVAL)
        try:
            watts.append(meter.watts())
        except UnreadableError:
            return None
    return float(np.mean(watts))
