"""How long a build has taken so far: a line that turns on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from itertools import cycle
from time import monotonic
from types import TracebackType

from edgesr.cli.output import note, one_line
from edgesr.compile.durations import show_seconds

_LINE_EVERY = 30.0
_FRAMES = "|/-\\"


class Spinner:
    """Shows what a build does, for how long, and what the last one took; its methods go to a Compiler."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet or sys.stderr is None
        self._frames = cycle(_FRAMES)
        self._start: float | None = None
        self._last_line = 0.0
        self._is_drawn = False

    def tick(self, phase: str, last: float | None) -> None:
        """Show the phase; ``last`` is the duration of the last build in seconds, None where it is not known."""
        if self._quiet:
            return
        now = monotonic()
        if self._start is None:
            self._start = self._last_line = now
        text = f"{phase}, {show_seconds(now - self._start)}"
        text += "" if last is None else f" (the last build took {show_seconds(last)})"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{next(self._frames)} {one_line(text)}")
            sys.stderr.flush()
            self._is_drawn = True
        elif now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            note(text)

    def note(self, text: str) -> None:
        """Write a line above the one that turns."""
        self._clear()
        note(text)

    def stop(self) -> None:
        """Take the line away; the next build starts from zero."""
        self._clear()
        self._start = None

    def __enter__(self) -> Spinner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _clear(self) -> None:
        if self._is_drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_drawn = False
