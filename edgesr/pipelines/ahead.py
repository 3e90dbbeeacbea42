"""Tiles one after the other, the next one prepared and enqueued while the last one is still on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def run_ahead(items: Sequence[T], runs: Sequence[Callable[[T], R]]) -> Iterator[Callable[[], R]]:
    """Give a function that returns the result for one item after the other, each valid until it is called again.

    ``runs`` do the same with different buffers and take turns. With two of them the result of one item is fetched and
    used while the other works on the next, on a thread of its own; with one all happens when the result is asked for.
    """
    if len(runs) < 2:
        waiting = iter(items)
        yield lambda: runs[0](next(waiting))
        return
    threads = ThreadPoolExecutor(len(runs), thread_name_prefix="edgesr-tile")
    started: dict[int, Future[R]] = {}
    position = iter(range(len(items)))

    def start(index: int) -> None:
        if index < len(items) and index not in started:
            started[index] = threads.submit(runs[index % len(runs)], items[index])

    def take() -> R:
        index = next(position)
        start(index)
        # The result that used these buffers before has been taken and used by now.
        start(index + 1)
        return started.pop(index).result()

    try:
        yield take
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
