"""CUDA graphs on the fake library: the protocol, replay, and the reason when there is no graph."""

from __future__ import annotations

import gc
import threading
from ctypes import byref, c_void_p

import numpy as np
import pytest

from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_graph import Graph, capture
from edgesr.engines.cuda_memory import DeviceBuffer
from edgesr.errors import BackendError
from tests.fakes.gpu import FLOAT, open_bench, violating


@pytest.fixture
def gpu():
    with open_bench() as bench:
        yield bench


def captured(stream, enqueue, **options) -> Graph:
    graph = capture(stream, enqueue, **options)
    assert isinstance(graph, Graph), graph
    return graph


def test_a_graph_replays_the_work_on_new_values(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2))
    np.testing.assert_array_equal(b.numpy(), [2, 4])
    for values in ([3, 4], [5, 6]):
        a.copy_from(np.array(values, np.float32))
        graph.launch(gpu.stream)
        np.testing.assert_array_equal(b.numpy(), np.array(values) * 2)
    assert gpu.fake.calls["scale"] == 2
    graph.close()


def test_the_order_of_calls_is_trtexecs(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    gpu.fake.history.clear()
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2))
    calls = [name for name in gpu.fake.history if name not in ("cudaSetDevice", "cudaStreamIsCapturing")]
    assert calls == [
        "scale",
        "cudaStreamSynchronize",
        "cudaStreamBeginCapture",
        "scale",
        "cudaStreamEndCapture",
        "cudaGraphInstantiateWithFlags",
        "cudaGraphDestroy",
    ]
    graph.close()


def test_work_that_has_run_is_only_recorded(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2), has_run=True)
    np.testing.assert_array_equal(b.numpy(), [0, 0])
    graph.launch(gpu.stream)
    np.testing.assert_array_equal(b.numpy(), [2, 4])
    graph.close()


def test_a_whole_loop_with_copies_on_the_device_is_one_graph(gpu):
    state, following = gpu.buffer([1, 2]), gpu.buffer([0, 0])

    def loop() -> bool:
        for _ in range(4):
            if not gpu.scale(following, state, 3):
                return False
            state.copy_from_device(following)
        return True

    graph = captured(gpu.stream, loop)
    state.copy_from(np.array([1, 2], np.float32))
    graph.launch(gpu.stream)
    np.testing.assert_array_equal(state.numpy(), [81, 162])
    graph.close()


def test_a_graph_may_be_launched_on_another_stream(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2), has_run=True)
    other = Stream(gpu.runtime, gpu.device)
    other.wait(gpu.stream.record())
    graph.launch(other)
    graph.close()
    gpu.stream.wait(other.record())
    np.testing.assert_array_equal(b.numpy(), [2, 4])
    other.close()


def test_captures_on_two_threads_do_not_disturb_each_other(gpu):
    failures, barrier = [], threading.Barrier(2)

    def work(factor: int) -> None:
        stream = Stream(gpu.runtime, gpu.device)
        a, b = (DeviceBuffer(gpu.runtime, stream, (4,), FLOAT) for _ in range(2))
        a.copy_from(np.ones(4, np.float32))

        def enqueue() -> bool:
            barrier.wait()
            return gpu.scale(b, a, factor, stream)

        graph = capture(stream, enqueue)
        if isinstance(graph, str):
            failures.append(graph)
            return
        graph.launch(stream)
        if not (b.numpy() == factor).all():
            failures.append(factor)
        for thing in (graph, a, b, stream):
            thing.close()

    threads = [threading.Thread(target=work, args=(factor,)) for factor in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_another_thread_may_allocate_during_a_capture(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    made = []

    def enqueue() -> bool:
        if gpu.fake.is_capturing(gpu.stream.handle):
            thread = threading.Thread(
                target=lambda: made.append(DeviceBuffer(gpu.runtime, Stream(gpu.runtime, gpu.device), (4,), FLOAT))
            )
            thread.start()
            thread.join()
        return gpu.scale(b, a, 2)

    captured(gpu.stream, enqueue).close()
    assert made[0].ptr


@pytest.mark.parametrize("name", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags"])
def test_a_capture_that_fails_gives_the_reason_and_a_usable_stream(gpu, name):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    if name == "cudaStreamEndCapture":

        def enqueue() -> bool:
            if gpu.fake.is_capturing(gpu.stream.handle):
                gpu.runtime.attempt("cudaStreamSynchronize", gpu.stream.handle)
            return gpu.scale(b, a, 2) or True

        expected = "cudaStreamEndCapture failed with cudaErrorStreamCaptureInvalidated (901)"
    else:
        gpu.fake.fail(name, 801)
        expected = f"{name} failed with"

        def enqueue() -> bool:
            return gpu.scale(b, a, 2)

    reason = capture(gpu.stream, enqueue)
    assert isinstance(reason, str) and reason.startswith(expected) and "\n" not in reason
    np.testing.assert_array_equal(b.numpy(), [2, 4])
    assert not gpu.stream.is_capturing


def test_work_that_cannot_be_captured_says_so(gpu):
    def enqueue() -> bool:
        return not gpu.fake.is_capturing(gpu.stream.handle)

    assert capture(gpu.stream, enqueue) == "the work refused to be enqueued during the capture"
    gpu.stream.synchronize()


def test_work_that_allocates_cannot_be_captured(gpu):
    kept = []

    def enqueue() -> bool:
        kept.append(DeviceBuffer(gpu.runtime, gpu.stream, (4,), FLOAT))
        return True

    reason = capture(gpu.stream, enqueue)
    assert isinstance(reason, str)
    assert "cudaMalloc failed with cudaErrorStreamCaptureUnsupported (900)" in reason
    assert "run it without graphs" in reason
    assert len(kept) == 1
    gpu.stream.synchronize()


def test_work_that_waits_cannot_be_captured(gpu):
    def enqueue() -> bool:
        gpu.stream.synchronize()
        return True

    assert "cudaStreamSynchronize failed" in str(capture(gpu.stream, enqueue))
    gpu.stream.synchronize()


def test_a_failure_of_the_first_real_run_is_an_error(gpu):
    with pytest.raises(BackendError, match="the run before the capture failed"):
        capture(gpu.stream, lambda: False)
    assert not gpu.fake.calls["cudaStreamBeginCapture"]

    def broken() -> bool:
        raise BackendError("input 'x' is missing")

    with pytest.raises(BackendError, match="input 'x' is missing"):
        capture(gpu.stream, broken)


def test_a_bug_in_the_work_passes_through_and_ends_the_capture(gpu):
    def enqueue() -> bool:
        if gpu.fake.is_capturing(gpu.stream.handle):
            raise ZeroDivisionError
        return True

    with pytest.raises(ZeroDivisionError):
        capture(gpu.stream, enqueue)
    gpu.stream.synchronize()
    captured(gpu.stream, lambda: True).close()


@pytest.mark.parametrize("handle", [0, 1])
def test_the_default_stream_is_not_captured(gpu, handle):
    stream = Stream.from_handle(gpu.runtime, handle)
    assert capture(stream, lambda: True) == "the default stream cannot be captured"


def test_a_stream_in_somebodys_capture_is_left_alone(gpu):
    gpu.runtime.call("cudaStreamBeginCapture", gpu.stream.handle, 1)
    assert capture(gpu.stream, lambda: True) == "the stream is being captured by its owner already"
    graph = c_void_p()
    gpu.runtime.call("cudaStreamEndCapture", gpu.stream.handle, byref(graph))
    gpu.runtime.call("cudaGraphDestroy", graph)


def test_garbage_collected_during_a_capture_is_freed_after_it(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    garbage = [gpu.buffer([7, 7])]
    live = len(gpu.fake.memory.live)
    seen = []

    def enqueue() -> bool:
        if gpu.fake.is_capturing(gpu.stream.handle) and garbage:
            cycle = [garbage.pop()]
            cycle.append(cycle)
            del cycle
            gc.collect()
            seen.append(len(gpu.fake.memory.live))
        return gpu.scale(b, a, 2)

    graph = captured(gpu.stream, enqueue)
    assert seen == [live]
    assert len(gpu.fake.memory.live) == live - 2
    graph.close()


def test_a_closed_graph_says_so_and_closes_twice(gpu):
    graph = captured(gpu.stream, lambda: True)
    assert not graph.is_closed
    graph.close()
    graph.close()
    assert graph.is_closed
    with pytest.raises(BackendError, match="graph is closed"):
        graph.launch(gpu.stream)


def test_closing_waits_for_the_launches(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2), has_run=True)
    graph.launch(gpu.stream)
    del graph
    gc.collect()
    np.testing.assert_array_equal(b.numpy(), [2, 4])


def test_a_graph_over_freed_memory_is_noticed(gpu):
    a, b = gpu.buffer([1, 2]), gpu.buffer([0, 0])
    graph = captured(gpu.stream, lambda: gpu.scale(b, a, 2))
    a.close()
    assert "use after free" in violating(lambda: graph.launch(gpu.stream), gpu.fake)
    graph.close()
