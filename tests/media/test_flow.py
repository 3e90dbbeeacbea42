"""Frames through a network: in order, at the same time, never queued, measured."""

from __future__ import annotations

import threading
import tracemalloc
from fractions import Fraction
from time import monotonic, sleep

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.media.flow import Flow
from edgesr.media.frame import VideoFormat
from edgesr.media.latency import Durations
from edgesr.media.sink import Sink
from edgesr.media.source import Patience, Source
from edgesr.types import Array
from tests.media.cameras import Camera, Shot, steady


class Film:
    """A writer that keeps what it gets."""

    def __init__(self, *, breaks_at: int | None = None, delay: float = 0.0) -> None:
        self.greys: list[int] = []
        self.times: list[float] = []
        self.formats: list[VideoFormat] = []
        self.state = "open"
        self.breaks_at = breaks_at
        self.delay = delay

    def __call__(self, video: VideoFormat, part: int) -> Film:
        self.formats.append(video)
        return self

    def write(self, image: Array, time: float) -> None:
        sleep(self.delay)
        if len(self.greys) == self.breaks_at:
            raise InputError("film: no space left on device")
        self.greys.append(int(image[0, 0, 0]))
        self.times.append(time)

    def close(self) -> None:
        self.state = "closed"

    def abandon(self) -> None:
        self.state = "abandoned"


class Finite(Camera):
    """A camera whose end is the end, as that of a file."""

    def __call__(self):  # type: ignore[no-untyped-def]
        reader = super().__call__()
        reader.is_finite = True
        return reader


def flow(
    shots: list[Shot], film: Film, process=lambda image: image, *, is_live: bool = False, **options
) -> Flow[Array]:  # type: ignore[no-untyped-def]
    source = Source(Finite([shots]), "camera", is_live=is_live, patience=Patience(timeout=1.0, attempts=0))
    return Flow(source, process, Sink(film, "film"), picture=lambda image: image, **options)


def test_results_come_in_order_however_long_each_takes() -> None:
    film = Film()
    report = flow(steady(40, 0.0), film, lambda image: (sleep(0.004 * (image[0, 0, 0] % 2)), image)[1], workers=4).run()
    assert film.greys == list(range(40))
    assert film.state == "closed"
    assert film.times == sorted(film.times)
    assert (report.captured, report.processed, report.written, report.dropped) == (40, 40, 40, 0)


def test_files_are_never_dropped_by_a_slow_sink() -> None:
    film = Film(delay=0.005)
    assert flow(steady(30, 0.0), film).run().dropped == 0
    assert film.greys == list(range(30))


def test_a_live_source_that_is_too_fast_loses_frames_but_lags_no_more_than_those_under_way() -> None:
    film = Film()
    report = flow(steady(200, 0.005), film, lambda image: (sleep(0.03), image)[1], is_live=True, workers=1).run()
    assert report.dropped > 50
    assert report.captured == 200 == report.written + report.dropped
    # Waiting for the network, and then in it.
    assert report.latency_ms["p50"] < 3 * 30


def test_a_rate_that_the_network_sustains_drops_nothing_and_adds_at_most_one_interval() -> None:
    interval, network = 0.1, 0.03
    report = flow(steady(20, interval), Film(), lambda image: (sleep(network), image)[1], is_live=True).run()
    assert report.dropped == 0
    bare = report.process_ms["p50"]
    assert report.latency_ms["p50"] - bare <= interval * 1e3


def test_two_workers_overlap() -> None:
    together, most = 0, 0
    lock = threading.Lock()

    def process(image: Array) -> Array:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        sleep(0.01)
        with lock:
            together -= 1
        return image

    flow(steady(20, 0.0), Film(), process, workers=2).run()
    assert most == 2


def test_similar_frames_repeat_the_last_result() -> None:
    shots = [Shot(grey=grey) for grey in (10, 10, 11, 10, 80, 80, 10)]
    film = Film()
    calls = []
    report = flow(shots, film, lambda image: (calls.append(int(image[0, 0, 0])), image)[1], skip_similar=5.0).run()
    assert sorted(calls) == [10, 10, 80]
    assert film.greys == [10, 10, 10, 10, 80, 80, 10]
    assert (report.processed, report.skipped) == (3, 4)


def test_something_small_that_moves_is_not_similar() -> None:
    from edgesr.media.similar import Similarity

    still = np.zeros((1080, 1920, 3), np.uint8)
    moved = still.copy()
    moved[500:540, 900:940] = 200
    watch = Similarity(5.0)
    assert not watch.is_similar(still)
    assert watch.is_similar(still)
    assert not watch.is_similar(moved)
    assert not watch.is_similar(still[:100, :100])


def test_a_limit_ends_the_flow() -> None:
    film = Film()
    assert flow(steady(100, 0.0), film, limit=7).run().written == 7
    assert film.state == "closed"


def test_an_error_of_the_network_ends_everything_and_finishes_the_sink() -> None:
    film = Film()

    def process(image: Array) -> Array:
        if image[0, 0, 0] == 5:
            raise InputError("broken")
        return image

    with pytest.raises(InputError, match="broken"):
        flow(steady(100, 0.001), film, process).run()
    assert film.state == "abandoned"
    assert film.greys == list(range(len(film.greys)))


def test_an_error_of_the_sink_ends_everything() -> None:
    film = Film(breaks_at=3)
    with pytest.raises(InputError, match="no space left"):
        flow(steady(1000, 0.001), film).run()
    assert film.state == "abandoned"


def test_an_error_of_the_source_comes_after_its_frames() -> None:
    film = Film()
    with pytest.raises(InputError, match="garbage"):
        flow([*steady(4, 0.01), Shot("garbage")], film).run()
    assert film.greys == [0, 1, 2, 3]


def test_ctrl_c_finishes_the_sink() -> None:
    film = Film()

    def interrupt(report: object) -> None:
        if len(film.greys) > 3:
            raise KeyboardInterrupt

    start = monotonic()
    with pytest.raises(KeyboardInterrupt):
        flow(steady(100_000, 0.005), film, is_live=True).run(interrupt)
    assert film.state == "closed"
    assert monotonic() - start < 10


def test_memory_stays_flat() -> None:
    camera = flow(steady(3000, 0.0, size=(64, 64)), Film(), limit=3000)
    sizes = []

    def look(report: object) -> None:
        sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        camera.run(look)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 64 * 3 * 40 + 2_000_000


def test_percentiles_are_those_of_numpy_to_two_percent() -> None:
    values = np.random.default_rng(0).lognormal(-4, 1, 20_000)
    durations = Durations()
    for value in values:
        durations.add(float(value))
    for percent in (50, 95, 99):
        assert durations.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.02)
    assert durations.summary()["max"] == pytest.approx(values.max() * 1e3, abs=1e-3)
    assert Durations().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


def test_a_sink_that_changes_size_begins_anew_and_its_time_runs_forward() -> None:
    film = Film()
    sink = Sink(film, "film", fps=Fraction(10))
    for size, time in (((4, 4), 5.0), ((4, 4), 4.0), ((6, 8), 6.0), ((6, 8), 6.5)):
        sink.write(np.zeros((*size, 3), np.uint8), time)
    sink.close()
    assert [(video.width, video.height) for video in film.formats] == [(4, 4), (8, 6)]
    assert film.times == pytest.approx([0.0, 0.001, 0.0, 0.5])
    assert sink.parts == 2


def test_a_sink_takes_grey_alpha_bgr_and_16_bits() -> None:
    seen: list[Array] = []

    class Keep(Film):
        def write(self, image: Array, time: float) -> None:
            seen.append(image.copy())

    sink = Sink(Keep(), "film", color="bgr")
    sink.write(np.full((2, 2), 7, np.uint8))
    sink.write(np.full((2, 2, 1), 65535, np.uint16))
    sink.write(np.tile(np.array([1, 2, 3, 255], np.uint8), (2, 2, 1)))
    assert [image[0, 0].tolist() for image in seen] == [[7, 7, 7], [255, 255, 255], [3, 2, 1]]
    assert {image.dtype.name for image in seen} == {"uint8"}
