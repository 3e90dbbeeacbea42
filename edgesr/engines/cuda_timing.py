"""How long runs take on the device, between two events around each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgesr.engines.cuda import Event, Stream


class RunTimer:
    """Collects the times of runs of one thread."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Event, Event]] = []

    @property
    def runs(self) -> int:
        """Number of runs since the last call of ``take``."""
        return len(self._pairs)

    @contextmanager
    def around(self, stream: Stream) -> Iterator[None]:
        """Time what the block enqueues on ``stream``; what it waits for was enqueued before and does not count."""
        start = stream.record(timing=True)
        yield
        self._pairs.append((start, stream.record(timing=True)))

    def take(self) -> float:
        """Wait for the runs since the last call and return their milliseconds on the device, summed."""
        pairs, self._pairs = self._pairs, []
        total = 0.0
        for start, stop in pairs:
            total += stop - start
            start.close()
            stop.close()
        return total
