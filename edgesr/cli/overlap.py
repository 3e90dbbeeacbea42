"""Two pictures of a folder run at once: one is read or written while the other is computed; results stay in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 2
"""More gain nothing: the networks take turns on one device."""
_LARGE_FILE = 4 << 20
_LARGE_PICTURE = 4 << 20
"""Bytes and pixels from which a picture waits until no other large one is under way, so that memory holds one."""


class Stopped(BaseException):
    """Unwinds a picture of a run that is being ended; no Exception, so that nothing takes it for a bad picture."""


class Overlap:
    """Threads that each work on one picture; leaving it ends what is under way at its next tile."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="edgesr-picture")
        self._is_ending = threading.Event()
        self._large = threading.Lock()

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield items with results in order, or raise what ``work`` raises; one is taken when its work can begin."""
        waiting: deque[tuple[T, Future[R]]] = deque()
        for item in items:
            waiting.append((item, self._threads.submit(work, item)))
            if len(waiting) == AT_ONCE:
                yield from self._first(waiting)
        while waiting:
            yield from self._first(waiting)

    def _first(self, waiting: deque[tuple[T, Future[R]]]) -> Iterator[tuple[T, R]]:
        """Wait for the first; when that is interrupted, yield those that are finished all the same before it ends."""
        try:
            made = waiting[0][1].result()
        except KeyboardInterrupt:
            self._is_ending.set()
            for item, future in waiting:
                if not future.cancel() and future.exception() is None:
                    yield item, future.result()
            raise
        yield waiting.popleft()[0], made

    def check(self, done: int, total: int) -> None:
        """Raise Stopped once the run is being ended; for ``on_tile``."""
        if self._is_ending.is_set():
            raise Stopped

    @contextmanager
    def alone(self, source: Path) -> Iterator[Callable[[int], None]]:
        """Keep the picture of a large file to itself; give what does the same once its number of pixels is known."""
        held = False

        def hold(is_large: bool) -> None:
            nonlocal held
            if is_large and not held:
                self._large.acquire()
                held = True
                self.check(0, 1)  # what was waited for may have ended with the run

        try:
            size = source.stat().st_size
        except OSError:  # reading it says why
            size = 0
        try:
            hold(size >= _LARGE_FILE)
            yield lambda pixels: hold(pixels >= _LARGE_PICTURE)
        finally:
            if held:
                self._large.release()

    def __enter__(self) -> Overlap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ending.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
