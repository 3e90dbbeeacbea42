"""Copies that overlap runs, on the fake GPU: right whatever the order of the streams, and shorter by its clock."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc

import numpy as np
import pytest

from tests.engines.doubles import DoubleBackend
from tests.engines.test_trt import FLOAT, affine_plan, random
from tests.fakes.tensorrt import VERSIONS

SHAPE = (1, 2, 64, 64)
GAIN = np.array([3], np.float32)


@pytest.fixture(params=VERSIONS)
def backend(request):
    opened = DoubleBackend(request.param, overlap=True)
    yield opened
    opened.check()


class Frame:
    """One set of buffers."""

    def __init__(self, backend, engine):
        self.engine = engine
        self.inputs = {"x": backend.empty(SHAPE, FLOAT), "gain": backend.empty((1,), FLOAT)}
        self.outputs = {"y": backend.empty(SHAPE, FLOAT)}
        self.inputs["gain"].copy_from(GAIN)

    def start(self, x):
        self.inputs["x"].copy_from(x)
        self.engine.run(self.inputs, self.outputs)

    def result(self):
        return self.outputs["y"].numpy()


def process(backend, engine, count):
    """Run pictures through two sets of buffers, the next one enqueued before the last one is read."""
    frames, pictures = [Frame(backend, engine) for _ in range(2)], [random(*SHAPE, seed=k) for k in range(count)]
    frames[0].start(pictures[0])
    for k in range(count):
        if k + 1 < count:
            frames[(k + 1) % 2].start(pictures[k + 1])
        np.testing.assert_allclose(frames[k % 2].result(), pictures[k] * 3 + 0.5, rtol=1e-6)


def clock(backend):
    return max(stream.clock for stream in backend.fake.streams)


def test_two_sets_of_buffers_give_every_picture_its_own_result(backend, tmp_path):
    process(backend, backend.load(affine_plan(backend, tmp_path)), 9)


@pytest.mark.parametrize("version", VERSIONS)
def test_upload_run_and_download_of_three_pictures_overlap(version, tmp_path, monkeypatch):
    times = {}
    for overlap in (False, True):
        backend = DoubleBackend(version, overlap=overlap, graphs=False)
        # A picture takes one millisecond each for upload, run and download.
        rate = np.prod(SHAPE) * 4
        backend.fake.bandwidth.update(to_device=rate, to_host=rate)
        enqueue = backend.fake.enqueue
        monkeypatch.setattr(backend.fake, "enqueue", lambda *a, e=enqueue, **k: e(*a, **{**k, "milliseconds": 1.0}))
        process(backend, backend.load(affine_plan(backend, tmp_path, name=f"{version}{overlap}")), 20)
        times[overlap] = clock(backend)
        monkeypatch.undo()
        backend.check()
    assert times[False] >= 60
    assert times[True] <= 25


def test_an_input_that_is_read_back_shows_its_last_upload(backend, tmp_path):
    frame = Frame(backend, backend.load(affine_plan(backend, tmp_path)))
    for seed in range(3):
        x = random(*SHAPE, seed=seed)
        frame.start(x)
        np.testing.assert_array_equal(frame.inputs["x"].numpy(), x)
        frame.inputs["x"].copy_from(x + 1)
        np.testing.assert_array_equal(frame.inputs["x"].numpy(), x + 1)
        np.testing.assert_allclose(frame.result(), x * 3 + 0.5, rtol=1e-6)


def test_an_output_feeds_the_next_run_and_is_overwritten_by_the_host(backend, tmp_path):
    frame = Frame(backend, backend.load(affine_plan(backend, tmp_path)))
    x = random(*SHAPE)
    frame.start(x)
    frame.inputs["x"].copy_from_device(frame.outputs["y"])
    frame.engine.run(frame.inputs, frame.outputs)
    frame.inputs["x"].copy_from(x)
    np.testing.assert_allclose(frame.result(), (x * 3 + 0.5) * 3 + 0.5, rtol=1e-6)
    np.testing.assert_array_equal(frame.inputs["x"].numpy(), x)


def test_buffers_let_go_in_the_middle_are_freed_after_their_copies_and_runs(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    for seed in range(4):
        Frame(backend, engine).start(random(*SHAPE, seed=seed))
        gc.collect()
    frame = Frame(backend, engine)
    frame.start(random(*SHAPE))
    del frame, engine


def test_threads_share_an_engine_and_its_streams(backend, tmp_path):
    engine, failures = backend.load(affine_plan(backend, tmp_path)), []

    def work(seed):
        try:
            frame = Frame(backend, engine)
            for turn in range(12):
                x = random(*SHAPE, seed=100 * seed + turn)
                frame.start(x)
                np.testing.assert_allclose(frame.result(), x * 3 + 0.5, rtol=1e-6)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_mapped_buffers_wait_for_their_own_runs_alone(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, overlap=True, is_mapped=True)
        process(backend, backend.load(affine_plan(backend, tmp_path, name=version)), 6)
        assert backend.fake.calls["cudaMemcpyAsync"] == 0
        backend.check()


def test_a_frame_in_the_steady_state_allocates_nothing(backend, tmp_path):
    frame = Frame(backend, backend.load(affine_plan(backend, tmp_path)))
    x, result = random(*SHAPE), np.empty(SHAPE, np.float32)

    def run(times):
        for _ in range(times):
            frame.start(x)
            np.copyto(result, frame.result())

    run(4)
    before = backend.fake.calls.copy()
    tracemalloc.start()
    run(2)
    first = tracemalloc.take_snapshot()
    run(200)
    grown = tracemalloc.take_snapshot().compare_to(first, "filename")
    tracemalloc.stop()
    asked = backend.fake.calls - before
    assert not {name for name in asked if re.search(r"Alloc|Malloc|Create|Instantiate|Free|Destroy", name)}
    assert asked["cudaGraphLaunch"] == 202
    assert [entry for entry in grown if "/edgesr/" in entry.traceback[0].filename and entry.size_diff > 4000] == []
