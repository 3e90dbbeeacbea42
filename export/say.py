"""What the exporters tell on the way."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_EVERY = 20.0
"""Seconds between two lines of a step that takes long."""
_through: list[TextIO] = []


def say(text: str) -> None:
    """Write one line to standard error."""
    print(f"export: {text}", file=_through[-1] if _through else sys.stderr, flush=True)


@contextlib.contextmanager
def saying_through(stream: TextIO) -> Iterator[None]:
    """Let ``say`` write to a stream while standard error leads nowhere."""
    _through.append(stream)
    try:
        yield
    finally:
        _through.pop()


@contextlib.contextmanager
def reminding(say: Callable[[str], None], step: str, every: float = _EVERY) -> Iterator[None]:
    """Say every ``every`` seconds that a step is still at work, and for how long."""
    started, done = time.monotonic(), threading.Event()

    def remind() -> None:
        while not done.wait(every):
            say(f"{step}, {time.monotonic() - started:.0f} s so far")

    thread = threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
