"""Run compression on several threads while results keep their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_THREADS = 4


class OrderedPool(Generic[T]):
    """Call functions on threads and hand each result to ``sink`` on the caller's thread, in the order of submission.

    At most one job more than there are threads is held, so memory stays constant. zlib and numpy release the GIL.
    """

    def __init__(self, sink: Callable[[T], None]) -> None:
        self._sink = sink
        self._threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._threads, "edgesr-write")
        self._pending: deque[Future[T]] = deque()

    def submit(self, job: Callable[[], T]) -> None:
        """Start a job; wait for the oldest one where too many are under way."""
        self._pending.append(self._pool.submit(job))
        while len(self._pending) > self._threads:
            self._sink(self._pending.popleft().result())

    def drain(self) -> None:
        """Wait for all jobs and hand over their results."""
        while self._pending:
            self._sink(self._pending.popleft().result())

    def close(self) -> None:
        """Drain, then end the threads; a pool that is dropped instead ends them when it is collected."""
        self.drain()
        self._pool.shutdown()
