"""Devices, streams and events, on the fake library."""

from __future__ import annotations

import gc
import threading
from ctypes import c_void_p
from types import SimpleNamespace

import pytest

from edgesr.engines.cuda import Device, Event, Stream
from edgesr.engines.cuda_foreign import stream_handle
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError
from tests.fakes.cudart import FakeCudart, Gpu
from tests.fakes.gpu import open_bench, violating

DESKTOP = Gpu("Fake RTX", (8, 9), 128, is_integrated=False, total_memory=24 << 30)


@pytest.fixture
def gpu():
    with open_bench() as bench:
        yield bench


@pytest.fixture
def two():
    with open_bench(Gpu(), DESKTOP, index=1) as bench:
        yield bench


def in_thread(work):
    """Run ``work`` on a thread of its own, whose current device is GPU 0, and return what it returned or raised."""
    results = []

    def run():
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def test_a_device_describes_itself(two):
    assert (two.device.name, two.device.compute_capability, two.device.sm_count) == ("Fake RTX", (8, 9), 128)
    assert not two.device.is_integrated
    assert two.device.can_map_host_memory
    assert two.device.total_memory == 24 << 30
    assert Device(two.runtime, 0).is_integrated
    assert Device(two.runtime, 0).name == "Fake Orin"


def test_free_memory_shrinks_with_what_is_allocated_on_that_device(two):
    buffer = two.buffer([1.0] * 1024)
    assert two.device.free_memory == (24 << 30) - 4096
    assert Device(two.runtime, 0).free_memory == 8 << 30
    buffer.close()
    assert two.device.free_memory == 24 << 30


@pytest.mark.parametrize("index", [-1, 1, 7])
def test_a_device_that_is_not_there_is_refused(gpu, index):
    with pytest.raises(BackendError, match=f"there is no GPU {index}; this process sees 1"):
        Device(gpu.runtime, index)


def test_without_a_driver_the_error_names_it():
    runtime = CudaRuntime(FakeCudart(driver=None), "fake")
    with pytest.raises(BackendError, match=r"cudaErrorInsufficientDriver \(35\).*update the NVIDIA driver"):
        Device(runtime)


def test_work_runs_in_order_when_the_stream_is_waited_for(gpu):
    done = []
    for number in range(3):
        gpu.fake.enqueue(gpu.stream.handle, lambda n=number: done.append(n), label="k")
    assert not done
    gpu.stream.synchronize()
    assert done == [0, 1, 2]


def test_one_stream_does_not_wait_for_another(gpu):
    other = Stream(gpu.runtime, gpu.device)
    done = []
    gpu.fake.enqueue(gpu.stream.handle, lambda: done.append("first"), label="k")
    gpu.fake.enqueue(other.handle, lambda: done.append("second"), label="k")
    other.synchronize()
    assert done == ["second"]
    other.close()


def test_a_stream_waits_for_an_event_of_another(gpu):
    other = Stream(gpu.runtime, gpu.device)
    done = []
    gpu.fake.enqueue(gpu.stream.handle, lambda: done.append("before"), label="k")
    event = gpu.stream.record()
    gpu.fake.enqueue(gpu.stream.handle, lambda: done.append("after"), label="k")
    other.wait(event)
    gpu.fake.enqueue(other.handle, lambda: done.append("other"), label="k")
    assert not event.is_done
    other.synchronize()
    assert done == ["before", "other"]
    assert event.is_done
    other.close()


def test_an_event_may_be_recorded_anew(gpu):
    event = gpu.stream.record()
    event.synchronize()
    assert gpu.stream.record(event) is event
    assert not event.is_done
    assert gpu.fake.calls["cudaEventCreateWithFlags"] == 1


def test_two_timed_events_differ_by_milliseconds(gpu):
    start = gpu.stream.record(timing=True)
    gpu.fake.enqueue(gpu.stream.handle, lambda: None, label="k", milliseconds=2.5)
    end = gpu.stream.record(timing=True)
    assert end - start == pytest.approx(2.5)


def test_events_measure_no_time_unless_asked(gpu):
    start, end = gpu.stream.record(), gpu.stream.record(timing=True)
    assert [gpu.fake.event(event.handle).is_timed for event in (start, end)] == [False, True]
    with pytest.raises(BackendError, match="timing=True"):
        _ = end - start
    with pytest.raises(BackendError, match="timing=True"):
        _ = start - end


def test_a_failure_of_the_work_shows_where_it_is_waited_for(gpu):
    event = gpu.stream.record()
    gpu.fake.fail("cudaStreamSynchronize", 700)
    with pytest.raises(BackendError, match=r"cudaStreamSynchronize failed with cudaErrorIllegalAddress \(700\)"):
        gpu.stream.synchronize()
    gpu.fake.fail("cudaEventQuery", 700)
    with pytest.raises(BackendError, match="cudaEventQuery failed"):
        _ = event.is_done


def test_a_closed_stream_or_event_says_so_and_closes_twice(gpu):
    stream = Stream(gpu.runtime, gpu.device)
    event = stream.record()
    for thing in (event, stream):
        thing.close()
        thing.close()
    assert stream.is_closed
    with pytest.raises(BackendError, match="stream is closed"):
        stream.synchronize()
    with pytest.raises(BackendError, match="event is closed"):
        event.synchronize()
    stream.drain()
    event.drain()


def test_closing_a_stream_waits_for_its_work(gpu):
    stream = Stream(gpu.runtime, gpu.device)
    done = []
    gpu.fake.enqueue(stream.handle, lambda: done.append(1), label="k")
    stream.close()
    assert done == [1]


def test_forgotten_streams_and_events_are_collected(gpu):
    alive = len(gpu.fake.objects)
    stream = Stream(gpu.runtime, gpu.device)
    stream.record()
    cycle = SimpleNamespace(stream=stream, event=stream.record())
    cycle.own = cycle
    del stream, cycle
    gc.collect()
    assert len(gpu.fake.objects) == alive


def test_collecting_after_the_context_is_lost_raises_nothing(recwarn):
    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    stream = Stream(runtime, Device(runtime))
    event = stream.record()
    fake.lose_context(719)
    with pytest.raises(BackendError, match="cudaErrorLaunchFailure"):
        stream.synchronize()
    event.close()
    del event, stream
    gc.collect()
    assert not recwarn.list
    assert not fake.violations


def test_every_thread_works_on_the_right_device(two):
    assert two.fake.current_gpu == 1
    event = in_thread(two.stream.record)
    in_thread(lambda: two.stream.record(timing=True))
    in_thread(lambda: two.stream.wait(event))
    in_thread(two.stream.synchronize)
    made = in_thread(lambda: Stream(two.runtime, two.device))
    assert two.fake.stream(made.handle).gpu == 1
    in_thread(made.close)
    assert in_thread(lambda: two.device.free_memory) == 24 << 30


def test_the_fake_notices_work_on_a_device_that_is_not_current(two):
    def launch():
        two.fake.enqueue(two.stream.handle, lambda: None, label="k")

    text = violating(lambda: in_thread(launch), two.fake)
    assert "stream of GPU 1 with GPU 0 current" in text


def test_closing_on_another_thread_leaves_its_device_alone(two):
    stream = Stream(two.runtime, two.device)

    def work():
        stream.close()
        return two.fake.current_gpu

    assert in_thread(work) == 0


def test_a_foreign_stream_is_used_and_left_to_its_owner(gpu):
    owner = Stream(gpu.runtime, gpu.device)
    foreign = Stream.from_handle(gpu.runtime, owner.handle)
    assert foreign.is_foreign and foreign.device.index == 0 and not foreign.is_default
    done = []
    gpu.fake.enqueue(foreign.handle, lambda: done.append(1), label="k")
    foreign.synchronize()
    foreign.close()
    foreign.close()
    assert done == [1]
    owner.synchronize()
    del foreign
    gc.collect()
    owner.synchronize()
    owner.close()


def test_a_foreign_stream_belongs_to_the_current_device_or_the_given_one(two):
    handle = two.stream.handle
    assert Stream.from_handle(two.runtime, handle).device.index == 1
    assert in_thread(lambda: Stream.from_handle(two.runtime, 1)).device.index == 0
    assert in_thread(lambda: Stream.from_handle(two.runtime, handle, two.device)).device.index == 1


@pytest.mark.parametrize("handle", [0, 1])
def test_the_default_stream_is_known(gpu, handle):
    assert Stream.from_handle(gpu.runtime, handle).is_default
    assert not Stream.from_handle(gpu.runtime, 2).is_default


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(0x50, id="int"),
        pytest.param(SimpleNamespace(handle=0x50), id="pycuda"),
        pytest.param(SimpleNamespace(ptr=0x50), id="cupy"),
        pytest.param(SimpleNamespace(cuda_stream=0x50), id="torch"),
        pytest.param(SimpleNamespace(ptr=c_void_p(0x50)), id="polygraphy"),
        pytest.param(SimpleNamespace(__cuda_stream__=lambda: (0, 0x50)), id="cuda.core"),
        pytest.param(SimpleNamespace(__cuda_stream__=(0, 0x50)), id="cuda.core-attribute"),
    ],
)
def test_streams_of_other_libraries_are_understood(stream):
    assert stream_handle(stream) == 0x50


@pytest.mark.parametrize("stream", [None, "0x50", 1.5, True, -1, SimpleNamespace(), SimpleNamespace(handle="a")])
def test_what_is_no_stream_is_refused(stream):
    with pytest.raises(BackendError, match="not a CUDA stream"):
        stream_handle(stream)


def test_an_event_can_be_made_for_a_device(gpu):
    event = Event(gpu.device, timing=True)
    gpu.stream.record(event)
    event.synchronize()
    assert event.is_done
    event.close()
