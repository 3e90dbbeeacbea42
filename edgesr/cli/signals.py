"""Ctrl-C and termination: both unwind the run, so that nothing half-written stays behind."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Interruption:
    """Turns SIGINT and SIGTERM into KeyboardInterrupt while it is entered, and remembers which came.

    Remembering matters: a signal that arrives while a library is imported comes out as the library's ImportError.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal ended."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def text(self) -> str:
        """One line for the user."""
        how = _SAID[signal.Signals(self.number or signal.SIGINT)]
        return f"{how}; finished pictures are kept, nothing is half-written"

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            # What a parent chose to ignore, such as Ctrl-C in the background of a shell, stays ignored.
            wanted = [number for number in _SAID if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._handlers = {number: signal.signal(number, self._raise) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        raise KeyboardInterrupt
