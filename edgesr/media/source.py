"""A source of frames: iterate over it, ask it for the next frame, or let it call back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from time import monotonic
from types import TracebackType
from typing import Any

from edgesr.errors import InputError
from edgesr.media.frame import Frame
from edgesr.media.port import AbsentError, Reader, StallError, UnreachableError
from edgesr.media.slot import Slot

_USUAL_CONNECT = 30.0
"""Seconds; what network cameras take to start after the board."""


@dataclass(frozen=True)
class Patience:
    """How long a source is waited for."""

    timeout: float = 10.0
    """Seconds without a frame after which it counts as lost."""
    connect: float | None = None
    """Seconds that a live source may take to its first frame; None for 30 where it does not answer or gives nothing,
    and none where its name looks like a typing error."""
    attempts: int = 5
    """Times in a row that a lost camera or stream is opened again; 0 for never."""
    first_pause: float = 0.5
    """Seconds before the first attempt; each further pause is twice as long."""
    longest_pause: float = 10.0
    """Seconds that no pause exceeds."""

    def connect_for(self, error: InputError) -> float:
        """Return for how many seconds a source is tried whose first connection failed with ``error``."""
        if isinstance(error, (UnreachableError, StallError)):
            return _USUAL_CONNECT if self.connect is None else self.connect
        return self.connect or 0.0 if isinstance(error, AbsentError) else 0.0


class Source:
    """Frames in order, captured on a thread of its own: ``for frame in source``.

    Of a live source only the newest frame waits to be taken; older ones are dropped and counted. Of any other source
    no frame is lost. A camera or stream that does not answer yet, or goes away after its first frame, is opened again.
    Several threads may take frames, each frame goes to one of them. Errors are raised where frames are taken.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        name: str,
        *,
        is_live: bool,
        patience: Patience | None = None,
        note: Callable[[str], None] = lambda text: None,
        path: str = "",
    ) -> None:
        self.name = name
        self.path = path
        """Which library captures and decodes, such as ``GStreamer 1.22.0``."""
        self.is_live = is_live
        self.captured = 0
        """Frames that have arrived."""
        self.reconnects = 0
        self._open_reader = open_reader
        self._patience = patience or Patience()
        self._note = note
        self._slot = Slot(newest_only=is_live)
        self._reader: Reader | None = None
        self._fps: Fraction | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Frames that were replaced by newer ones before anybody took them."""
        return self._slot.dropped

    @property
    def fps(self) -> Fraction | None:
        """Nominal frames per second; None where they are not known, in any case before the first frame."""
        return self._fps

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end, and after ``close``."""
        self._start()
        return self._slot.take()

    def listen(self, callback: Callable[[Frame], Any]) -> Listener:
        """Call ``callback`` with every frame on a thread; it ends the listening by returning False."""
        return Listener(self, callback)

    def close(self) -> None:
        """Stop capturing and free the camera; closing twice is allowed."""
        self._stopped.set()
        self._slot.close()
        with self._lock:
            reader, thread = self._reader, self._thread
        if reader is not None:
            reader.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._patience.timeout + 5)

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        loop = asyncio.get_running_loop()
        while (frame := await loop.run_in_executor(None, self.read)) is not None:
            yield frame

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Source {self.name}{' live' if self.is_live else ''}{f' through {self.path}' if self.path else ''}>"

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._capture, name="edgesr-capture", daemon=True)
                self._thread.start()

    def _capture(self) -> None:
        try:
            self._capture_all()
        except BaseException as error:
            self._slot.end(None if self._stopped.is_set() else error)
        else:
            self._slot.end()

    def _capture_all(self) -> None:
        """Read until the end, opening a lost source again."""
        attempts = 0
        last: Frame | None = None
        begin = monotonic()
        while not self._stopped.is_set():
            lost: InputError
            try:
                for frame in self._connection(last):
                    attempts, last = 0, frame
                    if not self._slot.put(frame):
                        return
                if self._is_at_end():
                    return
                lost = InputError(f"{self.name}: the stream ended")
            except InputError as error:
                lost = error
            finally:
                self._close_reader()
            if self._stopped.is_set():
                return
            if not self.is_live:
                raise lost
            pause = min(self._patience.first_pause * 2**attempts, self._patience.longest_pause)
            if last is None:
                left = begin + self._patience.connect_for(lost) - monotonic()
                if left <= 0:
                    raise _after(lost, attempts)
                self._note(f"{lost}; trying again in {min(pause, left):.2g} s, for {left:.2g} s more")
                self._stopped.wait(min(pause, left))
            else:
                if attempts >= self._patience.attempts:
                    raise _after(lost, attempts)
                self._note(f"{lost}; opening it again in {pause:g} s ({attempts + 1} of {self._patience.attempts})")
                self._stopped.wait(pause)
                self.reconnects += 1
            attempts += 1

    def _connection(self, last: Frame | None) -> Iterator[Frame]:
        """Yield the frames of one connection, numbered and timed on from the ``last`` frame before it."""
        reader = self._open_reader()
        with self._lock:
            self._reader = reader
        if self._stopped.is_set():
            return
        offset = 0.0
        while (frame := reader.read(self._patience.timeout)) is not None:
            if last is not None and offset == 0.0:
                offset = max(1e-3, last.time + frame.captured - last.captured - frame.time)
            self._fps = reader.fps
            index = self.captured
            self.captured += 1
            yield replace(frame, time=frame.time + offset, index=index)

    def _is_at_end(self) -> bool:
        return self._reader is None or self._reader.is_finite

    def _close_reader(self) -> None:
        with self._lock:
            reader = self._reader
        if reader is not None:
            reader.close()


class Listener:
    """A thread that calls back with every frame of a source."""

    def __init__(self, source: Source, callback: Callable[[Frame], Any]) -> None:
        self._source = source
        self._callback = callback
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="edgesr-listener", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the source has ended; False when it has not by ``timeout`` seconds. Raise what ended it."""
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Close the source and wait for the last call."""
        self._source.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            for frame in self._source:
                if self._callback(frame) is False:
                    self._source.close()
                    return
        except BaseException as error:
            self._error = error


def _after(lost: InputError, attempts: int) -> InputError:
    if not attempts:
        return lost
    return type(lost)(f"{lost}; given up after {attempts} attempt{'' if attempts == 1 else 's'}")


__all__ = ["Listener", "Patience", "Source", "StallError"]
