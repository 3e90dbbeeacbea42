"""Frames from a source through a network into a sink, all at the same time and never more than a few of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, Generic, TypeVar

from edgesr.media.frame import Frame
from edgesr.media.latency import Durations
from edgesr.media.similar import Similarity
from edgesr.media.sink import Sink
from edgesr.media.source import Source
from edgesr.types import Array

T = TypeVar("T")

_WAKE = 0.2


@dataclass(frozen=True)
class Report:
    """What a flow has done so far."""

    seconds: float
    """From the first frame's arrival."""
    captured: int
    """Frames that arrived."""
    processed: int
    """Frames that went through the network."""
    skipped: int
    """Frames that repeated the result before, as they showed nothing new."""
    written: int
    dropped: int
    """Frames of a live source that were replaced by newer ones before the network was free."""
    reconnects: int
    fps: float
    """Frames written per second."""
    latency_ms: dict[str, float]
    """From the arrival of a frame to the end of its writing: p50, p95, p99, max."""
    process_ms: dict[str, float]
    """Time of the network with what belongs to it: p50, p95, p99, max."""
    input_size: tuple[int, int] | None
    """Height and width of the last frame."""
    output_size: tuple[int, int] | None
    """Height and width of the last result."""

    def document(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


@dataclass
class _Counters:
    processed: int = 0
    skipped: int = 0
    written: int = 0
    first: float | None = None
    last: float = 0.0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    latency: Durations = field(default_factory=Durations)
    process: Durations = field(default_factory=Durations)


class Flow(Generic[T]):
    """Runs ``process`` on every frame of ``source`` and writes a ``picture`` of each result to ``sink``, in order.

    Capture and output have a thread each, ``process`` has ``workers`` threads, so that one frame is prepared or
    finished while the network works on another. It is called with images of one frame each and must be thread-safe;
    what it needs of a GPU belongs to the pipeline behind it, whose network runs one frame at a time. Never more than
    ``workers`` frames are under way: of a live source the newest is taken whenever a worker is free, everything else
    waits. ``skip_similar`` is the threshold of Similarity, None for none; ``limit`` ends after so many frames.
    ``on_result`` is called with every frame and its result, in order too.
    """

    def __init__(
        self,
        source: Source,
        process: Callable[[Array], T],
        sink: Sink | None,
        *,
        picture: Callable[[T], Array],
        on_result: Callable[[Frame, T], None] = lambda frame, result: None,
        workers: int = 2,
        skip_similar: float | None = None,
        limit: int | None = None,
    ) -> None:
        self._source = source
        self._process = process
        self._sink = sink
        self._picture = picture
        self._on_result = on_result
        self._workers = workers
        self._similarity = None if skip_similar is None else Similarity(skip_similar)
        self._limit = limit
        self._counters = _Counters()
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._results: dict[int, tuple[Frame, T | None]] = {}
        self._taken = 0
        self._is_ended = False
        self._is_stopped = False
        self._error: BaseException | None = None

    def run(self, tick: Callable[[Report], None] = lambda report: None) -> Report:
        """Run to the end of the source and close both ends; ``tick`` is called several times a second.

        Whatever ends it, an exception of ``tick`` and KeyboardInterrupt included, the sink is finished first.
        """
        threads = [threading.Thread(target=self._guarded, args=(self._work,), name=f"edgesr-network-{number}")
                   for number in range(self._workers)]  # fmt: skip
        output = threading.Thread(target=self._guarded, args=(self._output,), name="edgesr-output")
        for thread in (*threads, output):
            thread.daemon = True
            thread.start()
        try:
            while output.is_alive() and self._error is None:
                output.join(_WAKE)
                tick(self.report())
        finally:
            self._stop()
            self._source.close()
            for thread in (*threads, output):
                thread.join()
            if self._sink is not None:
                self._sink.abandon() if self._error is not None else self._sink.close()
        if self._error is not None:
            raise self._error
        return self.report()

    def report(self) -> Report:
        """Return the counts so far."""
        counters = self._counters
        seconds = max(0.0, counters.last - counters.first) if counters.first is not None else 0.0
        return Report(
            seconds=round(seconds, 4),
            captured=self._source.captured,
            processed=counters.processed,
            skipped=counters.skipped,
            written=counters.written,
            dropped=self._source.dropped,
            reconnects=self._source.reconnects,
            fps=round(counters.written / seconds, 3) if seconds else 0.0,
            latency_ms=counters.latency.summary(),
            process_ms=counters.process.summary(),
            input_size=counters.input_size,
            output_size=counters.output_size,
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
            self._stop()
            # Frees the workers that wait for a frame.
            self._source.close()

    def _work(self) -> None:
        while True:
            with self._taking:
                frame = None if self._is_over() else self._source.read()
                if frame is None:
                    with self._changed:
                        self._is_ended = True
                        self._changed.notify_all()
                    return
                ticket = self._taken
                self._taken += 1
                if self._counters.first is None:
                    self._counters.first = frame.captured
                is_similar = self._similarity is not None and self._similarity.is_similar(frame.image)
            start = monotonic()
            result = None if is_similar else self._process(frame.image)
            seconds = monotonic() - start
            with self._changed:
                if result is not None:
                    self._counters.process.add(seconds)
                while ticket >= self._counters.written + self._workers and not self._is_stopped:
                    self._changed.wait()
                self._results[ticket] = (frame, result)
                self._changed.notify_all()

    def _output(self) -> None:
        """Write the results in the order in which their frames came."""
        last: tuple[T, Array] | None = None
        counters = self._counters
        while True:
            with self._changed:
                ticket = counters.written
                while ticket not in self._results:
                    if self._is_stopped or (self._is_ended and ticket >= self._taken):
                        return
                    self._changed.wait()
                frame, result = self._results.pop(ticket)
            if result is not None:
                last = (result, self._picture(result))
            assert last is not None
            image = last[1]
            self._on_result(frame, last[0])
            if self._sink is not None:
                self._sink.fps = self._sink.fps or self._source.fps
                self._sink.write(frame.with_image(image))
            now = monotonic()
            with self._changed:
                counters.latency.add(now - frame.captured)
                counters.written += 1
                counters.processed += result is not None
                counters.skipped += result is None
                counters.last = now
                counters.input_size = (frame.image.shape[0], frame.image.shape[1])
                counters.output_size = (image.shape[0], image.shape[1])
                self._changed.notify_all()

    def _is_over(self) -> bool:
        return self._is_stopped or self._is_ended or (self._limit is not None and self._taken >= self._limit)

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
