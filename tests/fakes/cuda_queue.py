"""Streams, events, captures and graphs of the fake GPU. Work runs only when something waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.fakes.cuda_memory import Memory, ViolationError

NOT_PERMITTED, INVALIDATED, UNJOINED, ISOLATION, IMPLICIT, CAPTURED_EVENT, WRONG_THREAD = (
    900,
    901,
    904,
    905,
    906,
    907,
    908,
)
ILLEGAL_STATE, INVALID_HANDLE = 401, 400
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2

Range = tuple[str, int, int]
"""Address space, address and size in bytes."""


class CudaFailureError(Exception):
    """An error code that is not a violation: real CUDA answers it, and callers may handle it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Operation:
    """Work on the device: a copy, or a kernel."""

    label: str
    run: Callable[[], None]
    uses: tuple[Range, ...] = ()
    milliseconds: float = 0.01


@dataclass(eq=False)
class Record:
    """One recording of an event: a place in a queue, or in a capture."""

    stream: FakeStream
    capture: Capture | None = None
    is_done: bool = False
    time: float = 0.0


@dataclass
class Wait:
    record: Record


@dataclass(eq=False)
class FakeEvent:
    handle: int
    gpu: int
    is_timed: bool
    record: Record | None = None


@dataclass(eq=False)
class Capture:
    """Work being recorded from ``origin`` and the streams that joined it through events."""

    origin: FakeStream
    mode: int
    thread: int
    nodes: list[Operation] = field(default_factory=list)
    streams: set[FakeStream] = field(default_factory=set)
    unjoined: set[FakeStream] = field(default_factory=set)
    is_invalid: bool = False
    is_over: bool = False

    def end(self) -> None:
        self.is_over = True
        for stream in self.streams:
            stream.capture = None


@dataclass(eq=False)
class FakeStream:
    """A queue in order; ``clock`` is its fake time in milliseconds."""

    handle: int
    gpu: int
    memory: Memory
    queue: deque[Operation | Record | Wait] = field(default_factory=deque)
    capture: Capture | None = None
    clock: float = 0.0

    def enqueue(self, operation: Operation) -> None:
        if self.capture is None:
            self.queue.append(operation)
            return
        self._check_capture()
        self.capture.nodes.append(operation)
        if self is not self.capture.origin:
            self.capture.unjoined.add(self)

    def record(self, event: FakeEvent) -> None:
        if self.capture is not None:
            self._check_capture()
            event.record = Record(self, self.capture)
            return
        event.record = Record(self)
        self.queue.append(event.record)

    def wait(self, record: Record | None) -> None:
        if self.capture is not None:
            self._check_capture()
        other = record.capture if record else None
        if other is not None and other.is_over:
            raise CudaFailureError(CAPTURED_EVENT)
        if self.capture is not None and record is not None and other is not self.capture:
            self.capture.is_invalid = True
            raise CudaFailureError(ISOLATION)
        if other is None:
            if record is not None:
                self.queue.append(Wait(record))
        elif self.capture is None:
            if self.queue:
                raise ViolationError("a stream with pending work joined a capture")
            self.capture = other
            other.streams.add(self)
            other.unjoined.add(self)
        elif record is not None:
            other.unjoined.discard(record.stream)

    def run(self, until: Record | None = None) -> None:
        """Run the queue up to ``until``, or all of it."""
        while self.queue and not (until and until.is_done):
            item = self.queue.popleft()
            if isinstance(item, Record):
                item.is_done, item.time = True, self.clock
            elif isinstance(item, Wait):
                item.record.stream.run(item.record)
                self.clock = max(self.clock, item.record.time)
            else:
                for space, address, size in item.uses:
                    self.memory.require(space, address, size)
                item.run()
                self.clock += item.milliseconds

    def begin_capture(self, mode: int) -> None:
        if self.capture is not None:
            raise CudaFailureError(ILLEGAL_STATE)
        self.capture = Capture(self, mode, threading.get_ident())
        self.capture.streams.add(self)

    def end_capture(self) -> list[Operation]:
        capture = self.capture
        if capture is None:
            raise CudaFailureError(ILLEGAL_STATE)
        if capture.thread != threading.get_ident() and capture.mode != RELAXED:
            capture.is_invalid = True
            raise CudaFailureError(WRONG_THREAD)
        if capture.origin is not self:
            raise CudaFailureError(903)
        capture.end()
        if capture.is_invalid:
            raise CudaFailureError(INVALIDATED)
        if capture.unjoined:
            raise CudaFailureError(UNJOINED)
        return capture.nodes

    def _check_capture(self) -> None:
        assert self.capture is not None
        if self.capture.is_invalid:
            raise CudaFailureError(INVALIDATED)
        if self.capture.thread != threading.get_ident():
            raise ViolationError("a stream captured by one thread was used by another", WRONG_THREAD)


def pending(streams: Iterable[FakeStream], space: str, start: int, size: int) -> Operation | None:
    """Return an enqueued operation that uses part of the range."""
    for stream in streams:
        for item in stream.queue:
            if isinstance(item, Operation) and any(
                s == space and a < start + size and start < a + n for s, a, n in item.uses
            ):
                return item
    return None
