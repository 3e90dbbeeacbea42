"""Handing frames from the thread that captures them to those that use them."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic

from edgesr.media.frame import Frame


class Slot:
    """Holds the newest frame alone, or, where none may be lost, a few of them until they are taken.

    Memory is bounded either way: a live source overwrites what nobody took and counts it, any other one waits.
    """

    def __init__(self, *, newest_only: bool, capacity: int = 2) -> None:
        self.dropped = 0
        self._newest_only = newest_only
        self._capacity = 1 if newest_only else capacity
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_ended = False
        self._is_closed = False

    def put(self, frame: Frame) -> bool:
        """Store a frame; return whether anybody may still take it."""
        with self._changed:
            if self._newest_only:
                self.dropped += len(self._frames)
                self._frames.clear()
            while len(self._frames) >= self._capacity and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            self._frames.append(frame)
            self._changed.notify_all()
            return True

    def take(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, None after the last one; raise what ended the source, TimeoutError when it is late."""
        end = None if timeout is None else monotonic() + timeout
        with self._changed:
            while not self._frames:
                if self._is_closed:
                    return None
                if self._error is not None:
                    raise self._error
                if self._is_ended:
                    return None
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._changed.wait(left)
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more frames come; what is stored can still be taken."""
        with self._changed:
            self._is_ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more frames are wanted."""
        with self._changed:
            self._is_closed = True
            self._frames.clear()
            self._changed.notify_all()
