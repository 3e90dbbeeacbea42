"""The fake is strict: each mistake that real CUDA punishes by wrong data or a crash is noticed."""

from __future__ import annotations

import ctypes
import threading
from ctypes import byref, c_int, c_size_t, c_void_p

import numpy as np
import pytest

from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer, PinnedBuffer
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError
from tests.fakes.cudart import FakeCudart, Gpu
from tests.fakes.gpu import FLOAT, open_bench, violating

TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3


@pytest.fixture
def gpu():
    with open_bench() as bench:
        yield bench


def new(gpu, name, *args):
    """Call a function that makes something and return its handle or address."""
    made = c_void_p()
    gpu.runtime.call(name, byref(made), *args)
    return made.value


def copy(gpu, target, source, size, kind, stream=None):
    gpu.runtime.call("cudaMemcpyAsync", target, source, size, kind, stream or gpu.stream.handle)


@pytest.fixture
def memory(gpu):
    """One kibibyte of device memory and one of pinned memory."""
    device, host = new(gpu, "cudaMalloc", 1024), new(gpu, "cudaHostAlloc", 1024, 0)
    yield device, host
    gpu.runtime.call("cudaStreamSynchronize", gpu.stream.handle)
    gpu.runtime.call("cudaFree", device)
    gpu.runtime.call("cudaFreeHost", host)


def test_a_missing_wait_shows_as_data_that_was_never_written(gpu, memory):
    device, host = memory
    shown = np.frombuffer((ctypes.c_uint8 * 1024).from_address(host), np.float32)
    assert np.isnan(shown).all()
    values = np.ones(256, np.float32)
    copy(gpu, device, values.ctypes.data, 1024, TO_DEVICE)
    copy(gpu, host, device, 1024, TO_HOST)
    assert np.isnan(shown).all()
    gpu.stream.synchronize()
    assert (shown == 1).all()


def test_host_memory_changed_too_early_shows(gpu, memory):
    device, host = memory
    values = np.ones(256, np.float32)
    copy(gpu, device, values.ctypes.data, 1024, TO_DEVICE)
    values[:] = 2
    copy(gpu, host, device, 1024, TO_HOST)
    gpu.stream.synchronize()
    assert (np.frombuffer((ctypes.c_uint8 * 1024).from_address(host), np.float32) == 2).all()


@pytest.mark.parametrize(
    ("target", "source", "size", "kind", "message"),
    [
        ("device", "host", 1025, TO_DEVICE, "out of bounds"),
        ("device+1", "host", 1024, TO_DEVICE, "1024 bytes at offset 1 are out of bounds"),
        ("device", "host+512", 1024, TO_DEVICE, "out of bounds"),
        ("device", "device", 8, TO_DEVICE, "is a device address, the copy's kind 1 says host"),
        ("host", "host", 8, TO_HOST, "is no device address; it is a host address"),
        ("other", "host", 8, TO_DEVICE, "is no device address"),
        ("host", "device", 8, ON_DEVICE, "it is a host address"),
    ],
)
def test_copies_out_of_bounds_or_in_the_wrong_direction_are_noticed(gpu, memory, target, source, size, kind, message):
    local = (ctypes.c_uint8 * 2048)()
    places = {"device": memory[0], "host": memory[1], "other": ctypes.addressof(local)}

    def address(text):
        name, _, offset = text.partition("+")
        return places[name] + int(offset or 0)

    assert message in violating(lambda: copy(gpu, address(target), address(source), size, kind), gpu.fake)


def test_a_copy_of_no_kind_or_of_nothing_is_refused(gpu, memory):
    with pytest.raises(BackendError, match="cudaErrorInvalidValue"):
        copy(gpu, memory[0], memory[1], 8, 9)
    with pytest.raises(BackendError, match="cudaErrorInvalidValue"):
        copy(gpu, 0, memory[1], 8, TO_DEVICE)
    copy(gpu, 0, 0, 0, TO_DEVICE)


def test_double_free_and_free_of_strangers_are_noticed(gpu):
    device = new(gpu, "cudaMalloc", 16)
    gpu.runtime.call("cudaFree", device)
    assert "double free of 16 bytes of device memory" in violating(
        lambda: gpu.runtime.call("cudaFree", device), gpu.fake
    )
    assert "never allocated" in violating(lambda: gpu.runtime.call("cudaFree", 0x1234), gpu.fake)
    assert "never allocated" in violating(lambda: gpu.runtime.call("cudaFreeHost", 0x1234), gpu.fake)
    gpu.runtime.call("cudaFree", None)


def test_memory_is_freed_by_its_own_function(gpu, memory):
    device, host = memory
    assert "never allocated" in violating(lambda: gpu.runtime.call("cudaFree", host + 8), gpu.fake)
    assert "function for device memory" in violating(lambda: gpu.runtime.call("cudaFree", host), gpu.fake)
    assert "function for pinned memory" in violating(lambda: gpu.runtime.call("cudaFreeHost", device), gpu.fake)


def test_use_after_free_is_noticed_when_enqueued(gpu, memory):
    device = new(gpu, "cudaMalloc", 64)
    gpu.runtime.call("cudaFree", device)
    assert "use after free of 64 bytes" in violating(lambda: copy(gpu, device, memory[1], 64, TO_DEVICE), gpu.fake)
    with pytest.raises(Exception, match="use after free"):
        gpu.fake.array(device, (16,), FLOAT)


def test_free_before_pending_work_is_noticed(gpu, memory):
    device = new(gpu, "cudaMalloc", 64)
    copy(gpu, device, memory[1], 64, TO_DEVICE)
    message = violating(lambda: gpu.runtime.call("cudaFree", device), gpu.fake)
    assert "was freed while copy of 64 bytes to_device was pending" in message
    host = new(gpu, "cudaHostAlloc", 64, 0)
    copy(gpu, memory[0], host, 64, TO_DEVICE)
    assert "was pending on it" in violating(lambda: gpu.runtime.call("cudaFreeHost", host), gpu.fake)
    gpu.stream.synchronize()
    gpu.runtime.call("cudaFree", device)
    gpu.runtime.call("cudaFreeHost", host)


def test_kernels_are_held_to_the_memory_they_name(gpu, memory):
    device, host = memory
    stream = gpu.stream.handle
    for uses, message in (
        ([(device, 1025)], "out of bounds"),
        ([(host, 8)], "is no device address; it is a host address"),
    ):
        assert message in violating(
            lambda u=uses: gpu.fake.enqueue(stream, lambda: None, label="k", uses=u) and None, gpu.fake
        )
    with pytest.raises(Exception, match="out of bounds"):
        gpu.fake.array(device, (257,), FLOAT)


def test_a_kernel_that_raises_is_noticed(gpu):
    gpu.fake.enqueue(gpu.stream.handle, lambda: 1 / 0, label="k")
    assert "ZeroDivisionError" in violating(gpu.stream.synchronize, gpu.fake)


def leaking(make):
    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    made = make(runtime)
    with pytest.raises(AssertionError) as caught:
        fake.check()
    del made
    return str(caught.value)


def test_leaks_are_named():
    def call(name, *args):
        def make(runtime):
            runtime.call(name, byref(c_void_p()), *args)

        return make

    assert leaking(call("cudaMalloc", 12)) == "leak: 12 bytes of device memory on GPU 0"
    assert leaking(call("cudaHostAlloc", 12, 2)) == "leak: 12 bytes of mapped memory on GPU 0"
    assert "leak: FakeStream" in leaking(call("cudaStreamCreateWithFlags", 1))
    assert "leak: FakeEvent" in leaking(call("cudaEventCreateWithFlags", 2))
    assert "leak: FakeStream" in leaking(lambda runtime: Stream(runtime, Device(runtime)))


def test_an_error_left_behind_is_noticed():
    fake = FakeCudart()
    assert fake.cudaSetDevice(5) == 101
    with pytest.raises(AssertionError, match="error 101 was left"):
        fake.check()
    assert fake.cudaGetLastError() == 101
    fake.check()


def test_destroyed_things_cannot_be_used(gpu):
    stream = new(gpu, "cudaStreamCreateWithFlags", 1)
    gpu.runtime.call("cudaStreamDestroy", stream)
    assert "FakeStream 0x" in violating(lambda: gpu.runtime.call("cudaStreamSynchronize", stream), gpu.fake)
    assert "was destroyed" in violating(lambda: gpu.runtime.call("cudaStreamDestroy", stream), gpu.fake)
    assert "does not exist" in violating(lambda: gpu.runtime.call("cudaEventSynchronize", 0x77), gpu.fake)
    assert "does not exist" in violating(
        lambda: gpu.runtime.call("cudaEventRecord", gpu.stream.handle, gpu.stream.handle), gpu.fake
    )


def test_a_stream_is_not_destroyed_with_work_pending(gpu):
    stream = new(gpu, "cudaStreamCreateWithFlags", 1)
    gpu.fake.enqueue(stream, lambda: None, label="k")
    assert "with work pending" in violating(lambda: gpu.runtime.call("cudaStreamDestroy", stream), gpu.fake)
    gpu.runtime.call("cudaStreamSynchronize", stream)
    gpu.runtime.call("cudaStreamDestroy", stream)


def test_an_event_of_another_gpu_is_noticed():
    with open_bench(Gpu(), Gpu()) as gpu:
        event = gpu.stream.record()
        other = Stream(gpu.runtime, Device(gpu.runtime, 1))
        assert "an event of GPU 0 was recorded on GPU 1" in violating(lambda: other.record(event), gpu.fake)
        event.close()
        other.close()


def begin(gpu, stream=None, mode=1):
    gpu.runtime.call("cudaStreamBeginCapture", stream or gpu.stream.handle, mode)


def end(gpu, stream=None):
    """End a capture; return its error code, and destroy what it made."""
    graph = c_void_p()
    code = gpu.runtime.attempt("cudaStreamEndCapture", stream or gpu.stream.handle, byref(graph))
    if graph.value:
        gpu.runtime.call("cudaGraphDestroy", graph)
    return code


UNSAFE = {
    "malloc": lambda gpu, memory: gpu.runtime.attempt("cudaMalloc", byref(c_void_p()), 8),
    "free": lambda gpu, memory: gpu.runtime.attempt("cudaFree", memory[0]),
    "host alloc": lambda gpu, memory: gpu.runtime.attempt("cudaHostAlloc", byref(c_void_p()), 8, 0),
    "host free": lambda gpu, memory: gpu.runtime.attempt("cudaFreeHost", memory[1]),
    "synchronize": lambda gpu, memory: gpu.runtime.attempt("cudaStreamSynchronize", gpu.stream.handle),
    "default stream": lambda gpu, memory: gpu.runtime.attempt("cudaMemcpyAsync", *memory, 8, TO_DEVICE, 0),
}
EXPECTED = dict.fromkeys(UNSAFE, 900) | {"default stream": 906}


@pytest.mark.parametrize("call", UNSAFE)
def test_unsafe_calls_spoil_a_capture(gpu, memory, call):
    begin(gpu)
    assert UNSAFE[call](gpu, memory) == EXPECTED[call]
    assert gpu.runtime.attempt("cudaMemcpyAsync", *memory, 8, TO_DEVICE, gpu.stream.handle) == 901
    assert end(gpu) == 901
    gpu.stream.synchronize()


@pytest.mark.parametrize(("mode", "code"), [(0, 900), (1, 0), (2, 0)])
def test_a_capture_in_global_mode_forbids_other_threads_to_allocate(gpu, mode, code):
    begin(gpu, mode=mode)
    results = []

    def allocate():
        made = c_void_p()
        results.append(gpu.runtime.attempt("cudaMalloc", byref(made), 8))
        if made.value:
            gpu.runtime.attempt("cudaFree", made)

    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    assert results == [code]
    assert end(gpu) == (901 if code else 0)


def test_a_capture_is_ended_by_the_thread_that_began_it(gpu):
    begin(gpu)
    codes = []
    thread = threading.Thread(target=lambda: codes.append(end(gpu)))
    thread.start()
    thread.join()
    assert codes == [908]
    assert end(gpu) == 901


def test_another_thread_must_not_use_a_captured_stream(gpu, memory):
    begin(gpu)

    def use():
        thread = threading.Thread(
            target=lambda: gpu.runtime.attempt("cudaMemcpyAsync", *memory, 8, 1, gpu.stream.handle)
        )
        thread.start()
        thread.join()

    assert "captured by one thread was used by another" in violating(use, gpu.fake)
    assert end(gpu) == 0


def test_captures_begin_and_end_in_pairs(gpu):
    assert end(gpu) == 401
    begin(gpu)
    assert gpu.runtime.attempt("cudaStreamBeginCapture", gpu.stream.handle, 1) == 401
    assert end(gpu) == 0
    assert gpu.runtime.attempt("cudaStreamBeginCapture", 0, 1) == 900


def test_a_second_stream_joins_a_capture_by_events_and_must_be_joined_again(gpu, memory):
    other = Stream(gpu.runtime, gpu.device)
    for joins in (True, False):
        begin(gpu)
        other.wait(gpu.stream.record())
        copy(gpu, *memory, 8, TO_DEVICE, other.handle)
        status = c_int()
        gpu.runtime.call("cudaStreamIsCapturing", other.handle, byref(status))
        assert status.value == 1
        if joins:
            gpu.stream.wait(other.record())
        assert end(gpu) == (0 if joins else 904)
        assert not other.is_capturing
    other.close()


def test_a_captured_stream_cannot_wait_for_work_outside(gpu):
    other = Stream(gpu.runtime, gpu.device)
    event = other.record()
    begin(gpu)
    assert gpu.runtime.attempt("cudaStreamWaitEvent", gpu.stream.handle, event.handle, 0) == 905
    assert end(gpu) == 901
    other.close()


def test_an_event_of_a_capture_cannot_be_waited_for(gpu):
    begin(gpu)
    event = gpu.stream.record()
    assert gpu.runtime.attempt("cudaEventSynchronize", event.handle) == 907
    assert end(gpu) == 901
    other = Stream(gpu.runtime, gpu.device)
    assert gpu.runtime.attempt("cudaStreamWaitEvent", other.handle, event.handle, 0) == 907
    other.close()


def test_a_graph_is_not_destroyed_with_launches_pending(gpu, memory):
    begin(gpu)
    copy(gpu, *memory, 8, TO_DEVICE)
    graph, executable = c_void_p(), c_void_p()
    gpu.runtime.call("cudaStreamEndCapture", gpu.stream.handle, byref(graph))
    gpu.runtime.call("cudaGraphInstantiateWithFlags", byref(executable), graph, 0)
    gpu.runtime.call("cudaGraphLaunch", executable, gpu.stream.handle)
    assert "launches pending" in violating(lambda: gpu.runtime.call("cudaGraphExecDestroy", executable), gpu.fake)
    gpu.stream.synchronize()
    gpu.runtime.call("cudaGraphExecDestroy", executable)
    gpu.runtime.call("cudaGraphDestroy", graph)


def test_host_and_device_addresses_of_mapped_memory_differ_and_show_the_same_bytes(gpu):
    buffer = MappedBuffer(gpu.runtime, gpu.stream, (4,), FLOAT)
    array = buffer.numpy()
    array[:] = 5
    assert (gpu.fake.array(buffer.ptr, (4,), FLOAT) == 5).all()
    assert "is no device address; it is a host" in violating(
        lambda: gpu.fake.enqueue(gpu.stream.handle, print, label="k", uses=[(array.ctypes.data, 4)]) and None, gpu.fake
    )
    pinned = PinnedBuffer(gpu.runtime, gpu.stream, (4,), FLOAT)
    device = c_void_p()
    assert "not allocated with cudaHostAllocMapped" in violating(
        lambda: gpu.runtime.call("cudaHostGetDevicePointer", byref(device), pinned.ptr, 0), gpu.fake
    )


def test_injected_errors_come_in_order_and_once(gpu):
    gpu.fake.fail("cudaGetDeviceCount", 0, 35, 100)
    codes = [gpu.runtime.attempt("cudaGetDeviceCount", byref(c_int())) for _ in range(4)]
    assert codes == [0, 35, 100, 0]


def test_without_a_driver_only_versions_answer():
    fake = FakeCudart(driver=None)
    assert fake.cudaGetDeviceCount(byref(c_int())) == 35
    assert fake.cudaMemGetInfo(byref(c_size_t()), byref(c_size_t())) == 35
    version = c_int(-1)
    assert fake.cudaDriverGetVersion(byref(version)) == 0
    assert version.value == 0


def test_prototypes_that_differ_from_the_headers_are_refused():
    fake = FakeCudart()
    with pytest.raises(AssertionError, match="cudaFree is declared with"):
        fake.cudaFree.argtypes = (c_int,)
    with pytest.raises(AttributeError):
        _ = fake.cudaNothing


def test_freed_memory_is_overwritten(gpu):
    buffer = DeviceBuffer(gpu.runtime, gpu.stream, (4,), np.dtype(np.uint8))
    shown = gpu.fake.array(buffer.ptr, (4,), np.uint8)
    buffer.close()
    assert (shown == 0xDD).all()
