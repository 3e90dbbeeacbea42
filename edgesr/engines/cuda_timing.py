"""How long runs take on the device, between two events around each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgesr.engines.cuda import Event, Stream


class RunTimer:
    """Collects the times of runs of one thread."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Event, Event]] = []
        self.runs = 0
        """Since the last call of ``take``."""

    @contextmanager
    def around(self, stream: Stream, runs: int = 1) -> Iterator[None]:
        """Time ``runs`` that the block enqueues on ``stream``; what it waits for came before and does not count."""
        start = stream.record(timing=True)
        yield
        self._pairs.append((start, stream.record(timing=True)))
        self.runs += runs

    def take(self) -> float:
        """Wait for the runs since the last call and return their milliseconds on the device, summed."""
        pairs, self._pairs = self._pairs, []
        self.runs = 0
        total = 0.0
        for start, stop in pairs:
            total += stop - start
            start.close()
            stop.close()
        return total
