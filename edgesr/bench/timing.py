"""The timing protocol: warm up until stable, then time alternatives in turns, bounded by duration and by count.

Pictures are run one after the other, the next when the last is finished, as in MLPerf's SingleStream. The clock is
handed in, so that tests bring one that throttles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TypeAlias

from edgesr.errors import EdgesrError, UsageError

Clock: TypeAlias = Callable[[], float]
"""Returns seconds."""
Run: TypeAlias = Callable[[int], Mapping[str, float]]
"""Runs the picture of this number and returns milliseconds by stage, ``end_to_end`` among them."""

LEAST = 3
"""Pictures without which there is no figure."""
_PATIENCE = 6
"""Times the duration after which a run ends with ``LEAST`` pictures although more were asked for."""


@dataclass(frozen=True)
class Protocol:
    """How long and how often is measured."""

    duration: float = 10.0
    """Seconds that each alternative is timed at least, unless ``most`` comes first."""
    least: int = 10
    """Pictures that each is timed with at least; fewer only where they would take six times the duration."""
    most: int = 100_000
    warmup: float = 10.0
    """Seconds after which the warm-up ends, stable or not."""
    window: int = 5
    """The warm-up is over when the medians of its last two windows of so many runs differ by at most ``tolerance``."""
    tolerance: float = 0.03
    turns: int = 5
    """Into how many stretches the time is cut when several alternatives take turns."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not 0 < self.duration <= 86_400:
            raise UsageError(f"the duration must be above 0 s and at most 24 h, got {self.duration:g} s")
        if not 1 <= self.least <= self.most:
            raise UsageError(f"the least count must be from 1 to the most, {self.most}, got {self.least}")


@dataclass
class Measured:
    """The samples of one alternative."""

    first: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of the first run."""
    warmup_runs: int = 0
    warmup_seconds: float = 0.0
    is_warm: bool = False
    """Whether the warm-up ended because the times were stable."""
    stages: dict[str, list[float]] = field(default_factory=dict)
    pictures: list[int] = field(default_factory=list)
    """Number of the picture of each sample."""
    intervals: list[tuple[float, float]] = field(default_factory=list)
    """When this alternative was timed, in seconds of the clock."""
    seconds: float = 0.0
    """Sum of the intervals."""
    error: EdgesrError | None = None
    """What ended it early."""

    @property
    def count(self) -> int:
        """Number of timed pictures."""
        return len(self.pictures)


def measure(
    runs: Mapping[str, Run],
    protocol: Protocol,
    *,
    pictures: int = 1,
    clock: Clock = perf_counter,
    on_progress: Callable[[str, float], None] = lambda name, share: None,
) -> dict[str, Measured]:
    """Warm up and time every alternative; one that fails keeps its error and drops out, the others go on.

    ``pictures`` are run in turn, and each alternative sees the same. After every stretch the next alternative comes,
    so that drifts of the machine meet all of them. ``on_progress`` is told a name and the share of its time.
    """
    measured = {name: Measured() for name in runs}
    for name, run in runs.items():
        on_progress(name, 0.0)
        with _keeping_error(measured[name]):
            _warm_up(run, measured[name], protocol, pictures=pictures, clock=clock)
    turns = protocol.turns if len(runs) > 1 else 1
    order = list(runs)
    for turn in range(turns):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            one = measured[name]
            if one.error is None:
                share = (turn + 1) / turns
                with _keeping_error(one):
                    _stretch(runs[name], one, protocol, share, pictures=pictures, clock=clock)
                on_progress(name, share)
    return measured


@contextmanager
def _keeping_error(one: Measured) -> Iterator[None]:
    try:
        yield
    except EdgesrError as error:
        one.error = error


def _warm_up(run: Run, one: Measured, protocol: Protocol, *, pictures: int, clock: Clock) -> None:
    start = clock()
    times: list[float] = []
    while True:
        stages = run(one.warmup_runs % pictures)
        one.warmup_runs += 1
        one.first = one.first or stages
        one.warmup_seconds = clock() - start
        times.append(stages["end_to_end"])
        if len(times) >= 2 * protocol.window * pictures:
            last, before = (_level(times, protocol.window, pictures, back) for back in (0, 1))
            if abs(last - before) <= protocol.tolerance * before:
                one.is_warm = True
                return
        if one.warmup_seconds >= protocol.warmup:
            return


def _level(times: list[float], window: int, pictures: int, back: int) -> float:
    """Return the sum over pictures of their medians in a window of rounds, ``back`` windows before the last.

    Pictures of several sizes take different times: only rounds over all of them can be compared.
    """
    end = len(times) - back * window * pictures
    part = times[end - window * pictures : end]
    return sum(median(part[index::pictures]) for index in range(pictures))


def _stretch(run: Run, one: Measured, protocol: Protocol, share: float, *, pictures: int, clock: Clock) -> None:
    """Time until ``share`` of the duration and of the least count are reached."""
    enough = protocol.least * share
    start, before = clock(), one.seconds
    end = start
    try:
        while one.count < protocol.most:
            spent = before + end - start
            is_enough = spent >= protocol.duration * share and one.count >= enough
            is_late = spent >= _PATIENCE * protocol.duration * share and one.count >= LEAST * share
            if is_enough or is_late:
                return
            stages = run(one.count % pictures)
            end = clock()
            one.pictures.append(one.count % pictures)
            for name, milliseconds in stages.items():
                one.stages.setdefault(name, []).append(milliseconds)
    finally:
        if end > start:
            one.intervals.append((start, end))
            one.seconds = before + end - start
