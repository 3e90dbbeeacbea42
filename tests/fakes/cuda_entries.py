"""The functions that the fake libcudart exports, written down from cuda_runtime_api.h, not from edgesr."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.fakes.cuda_memory import ViolationError
from tests.fakes.cuda_queue import (
    CAPTURED_EVENT,
    INVALID_HANDLE,
    NOT_PERMITTED,
    CudaFailureError,
    FakeEvent,
    FakeStream,
    Operation,
    Record,
)

if TYPE_CHECKING:
    from tests.fakes.cudart import FakeCudart

ENTRIES: dict[str, tuple[tuple[Any, ...], Callable[..., Any]]] = {}
OUT = POINTER(c_void_p)
ERROR_NAMES = {
    1: ("cudaErrorInvalidValue", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "out of memory"),
    35: ("cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"),
    100: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    101: ("cudaErrorInvalidDevice", "invalid device ordinal"),
    400: ("cudaErrorInvalidResourceHandle", "invalid resource handle"),
    401: ("cudaErrorIllegalState", "the operation cannot be performed in the present state"),
    600: ("cudaErrorNotReady", "device not ready"),
    700: ("cudaErrorIllegalAddress", "an illegal memory access was encountered"),
    719: ("cudaErrorLaunchFailure", "unspecified launch failure"),
    900: ("cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"),
    901: ("cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"),
    904: ("cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"),
    905: ("cudaErrorStreamCaptureIsolation", "dependency created on uncaptured work in another stream"),
    906: (
        "cudaErrorStreamCaptureImplicit",
        "operation would make the legacy stream depend on a capturing blocking stream",
    ),
    907: ("cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capturing stream"),
    908: (
        "cudaErrorStreamCaptureWrongThread",
        "attempt to terminate a thread-local capture sequence from another thread",
    ),
}


class Graph(list[Operation]):
    """Recorded operations."""


class GraphExec(list[Operation]):
    """Recorded operations that can be launched."""


def entry(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        ENTRIES[body.__name__] = (arguments, body)
        return body

    return register


# ruff: noqa: N802
@entry(POINTER(c_int))
def cudaDriverGetVersion(fake: FakeCudart, version: Any) -> None:
    major, minor = fake.driver or (0, 0)
    version[0] = major * 1000 + minor * 10


@entry(POINTER(c_int))
def cudaRuntimeGetVersion(fake: FakeCudart, version: Any) -> None:
    version[0] = fake.version[0] * 1000 + fake.version[1] * 10


@entry()
def cudaGetLastError(fake: FakeCudart) -> int:
    return fake.take_error()


@entry(c_int)
def cudaGetErrorName(fake: FakeCudart | None, code: int) -> bytes:
    return ERROR_NAMES.get(code, ("cudaErrorUnknown", ""))[0].encode()


@entry(c_int)
def cudaGetErrorString(fake: FakeCudart | None, code: int) -> bytes:
    return ERROR_NAMES.get(code, ("", "unknown error"))[1].encode()


@entry(POINTER(c_int))
def cudaGetDeviceCount(fake: FakeCudart, count: Any) -> None:
    count[0] = len(fake.gpus)


@entry(POINTER(c_int))
def cudaGetDevice(fake: FakeCudart, index: Any) -> None:
    index[0] = fake.current_gpu


@entry(c_int)
def cudaSetDevice(fake: FakeCudart, index: int) -> None:
    _gpu(fake, index)
    fake.current_gpu = index


@entry(POINTER(c_int), c_int, c_int)
def cudaDeviceGetAttribute(fake: FakeCudart, value: Any, number: int, index: int) -> None:
    gpu = _gpu(fake, index)
    major, minor = gpu.compute_capability
    values = {16: gpu.sm_count, 18: gpu.is_integrated, 19: gpu.can_map, 75: major, 76: minor}
    if number not in values:
        raise ViolationError(f"attribute {number} is not modelled")
    value[0] = int(values[number])


@entry(c_void_p, c_int)
def cudaGetDeviceProperties(fake: FakeCudart, properties: int, index: int) -> None:
    name = _gpu(fake, index).name.encode()
    # The struct of CUDA 12 has 1032 bytes; a caller with less room would lose its stack.
    ctypes.memset(properties, 0xAB, 1032)
    ctypes.memmove(properties, name + b"\0", len(name) + 1)


@entry(POINTER(c_size_t), POINTER(c_size_t))
def cudaMemGetInfo(fake: FakeCudart, free: Any, total: Any) -> None:
    gpu = _gpu(fake, fake.current_gpu)
    free[0], total[0] = gpu.total_memory - fake.memory.used(fake.current_gpu), gpu.total_memory


@entry(c_void_p, c_void_p)
def cudaPointerGetAttributes(fake: FakeCudart, attributes: int, address: int | None) -> None:
    device = fake.memory.find("device", address or 0, 1)
    host = fake.memory.find("host", address or 0, 1)
    found = device or host
    kinds = {None: 0, "pinned": 1, "mapped": 1, "device": 2}
    ctypes.memset(attributes, 0, 88 if fake.version[0] >= 13 else 24)
    head = (c_int * 2).from_address(attributes)
    head[0], head[1] = kinds[found.kind if found else None], found.gpu if found else -2
    pointers = (c_void_p * 2).from_address(attributes + 8)
    if found is not None and found.device is not None:
        start = found.device if device else found.host
        pointers[0] = found.device + (address or 0) - (start or 0)


@entry(OUT, c_size_t)
def cudaMalloc(fake: FakeCudart, out: Any, size: int) -> None:
    fake.forbid_while_capturing()
    if size > _gpu(fake, fake.current_gpu).total_memory - fake.memory.used(fake.current_gpu):
        raise CudaFailureError(2)
    out[0] = fake.memory.allocate("device", size, fake.current_gpu).device if size else None


@entry(c_void_p)
def cudaFree(fake: FakeCudart, address: int | None) -> None:
    fake.forbid_while_capturing()
    if address:
        _free(fake, address, ("device",))


@entry(OUT, c_size_t, c_uint)
def cudaHostAlloc(fake: FakeCudart, out: Any, size: int, flags: int) -> None:
    fake.forbid_while_capturing()
    if flags & ~7:
        raise CudaFailureError(1)
    kind = "mapped" if flags & 2 else "pinned"
    out[0] = fake.memory.allocate(kind, size, fake.current_gpu).host if size else None


@entry(c_void_p)
def cudaFreeHost(fake: FakeCudart, address: int | None) -> None:
    fake.forbid_while_capturing()
    if address:
        _free(fake, address, ("pinned", "mapped"))


@entry(OUT, c_void_p, c_uint)
def cudaHostGetDevicePointer(fake: FakeCudart, out: Any, host: int | None, flags: int) -> None:
    allocation = fake.memory.require("host", host or 0, 1)
    if allocation.kind != "mapped" or flags:
        raise ViolationError("the memory was not allocated with cudaHostAllocMapped")
    out[0] = (allocation.device or 0) + (host or 0) - (allocation.host or 0)


@entry(c_void_p, c_void_p, c_size_t, c_int, c_void_p)
def cudaMemcpyAsync(
    fake: FakeCudart, target: int | None, source: int | None, size: int, kind: int, stream: int | None
) -> None:
    if kind == 4 and size:
        # cudaMemcpyDefault: every address says by itself where it lies.
        kind = 2 * bool(fake.memory.find("device", source or 0, size))
        kind += bool(fake.memory.find("device", target or 0, size))
    spaces = {0: ("host", "host"), 1: ("device", "host"), 2: ("host", "device"), 3: ("device", "device")}
    if kind not in spaces or not ((target and source) or not size):
        raise CudaFailureError(1)
    if not size:
        return
    uses, rate = [], {1: "to_device", 2: "to_host", 3: "on_device"}.get(kind, "to_host")
    for space, address in zip(spaces[kind], (target or 0, source or 0), strict=True):
        other = "device" if space == "host" else "host"
        if space == "device" or fake.memory.find("host", address, size):
            allocation = fake.memory.require(space, address, size)
            uses.append((space, address, size))
            if space == "device" and kind == 3 and allocation.kind != "device":
                rate = "mapped"
        elif fake.memory.find(other, address, size):
            raise ViolationError(f"{address:#x} is a {other} address, the copy's kind {kind} says {space}")
    copy = partial(ctypes.memmove, target, source, size)
    label = f"copy of {size} bytes {rate}"
    fake.push(fake.stream(stream), Operation(label, copy, tuple(uses), size / fake.bandwidth[rate]))


@entry(OUT, c_uint)
def cudaStreamCreateWithFlags(fake: FakeCudart, out: Any, flags: int) -> None:
    gpu = fake.current_gpu
    out[0] = fake.add(lambda handle: FakeStream(handle, gpu, fake.memory))


@entry(c_void_p)
def cudaStreamDestroy(fake: FakeCudart, stream: int | None) -> None:
    found = fake.stream(stream)
    if found.capture is not None:
        raise ViolationError("a stream was destroyed while it was captured")
    if found.queue:
        raise ViolationError("a stream was destroyed with work pending")
    fake.remove(stream, FakeStream)


@entry(c_void_p)
def cudaStreamSynchronize(fake: FakeCudart, stream: int | None) -> None:
    found = fake.stream(stream)
    if found.capture is not None:
        found.capture.is_invalid = True
        raise CudaFailureError(NOT_PERMITTED)
    found.run()


@entry(c_void_p, c_void_p, c_uint)
def cudaStreamWaitEvent(fake: FakeCudart, stream: int | None, event: int | None, flags: int) -> None:
    fake.stream(stream).wait(fake.event(event).record)


@entry(c_void_p, POINTER(c_int))
def cudaStreamIsCapturing(fake: FakeCudart, stream: int | None, status: Any) -> None:
    capture = fake.stream(stream).capture
    status[0] = 0 if capture is None else 2 if capture.is_invalid else 1


@entry(c_void_p, c_int)
def cudaStreamBeginCapture(fake: FakeCudart, stream: int | None, mode: int) -> None:
    found = fake.stream(stream)
    if found is fake.default_streams[0]:
        raise CudaFailureError(NOT_PERMITTED)
    found.begin_capture(mode)


@entry(c_void_p, OUT)
def cudaStreamEndCapture(fake: FakeCudart, stream: int | None, out: Any) -> None:
    out[0] = None
    nodes = fake.stream(stream).end_capture()
    out[0] = fake.add(lambda handle: Graph(nodes))


@entry(OUT, c_uint)
def cudaEventCreateWithFlags(fake: FakeCudart, out: Any, flags: int) -> None:
    gpu = fake.current_gpu
    out[0] = fake.add(lambda handle: FakeEvent(handle, gpu, not flags & 2))


@entry(c_void_p)
def cudaEventDestroy(fake: FakeCudart, event: int | None) -> None:
    fake.remove(event, FakeEvent)


@entry(c_void_p, c_void_p)
def cudaEventRecord(fake: FakeCudart, event: int | None, stream: int | None) -> None:
    found, on = fake.event(event), fake.stream(stream)
    if found.gpu != on.gpu:
        raise ViolationError(f"an event of GPU {found.gpu} was recorded on GPU {on.gpu}", INVALID_HANDLE)
    on.record(found)


@entry(c_void_p)
def cudaEventSynchronize(fake: FakeCudart, event: int | None) -> None:
    record = _uncaptured(fake.event(event))
    if record is not None:
        record.stream.run(record)


@entry(c_void_p)
def cudaEventQuery(fake: FakeCudart, event: int | None) -> int:
    record = _uncaptured(fake.event(event))
    return 0 if record is None or record.is_done else 600


@entry(POINTER(c_float), c_void_p, c_void_p)
def cudaEventElapsedTime(fake: FakeCudart, out: Any, start: int | None, end: int | None) -> int | None:
    events = [fake.event(start), fake.event(end)]
    if not all(event.is_timed and event.record for event in events):
        raise CudaFailureError(INVALID_HANDLE)
    first, last = (_uncaptured(event) for event in events)
    if first is None or last is None or not (first.is_done and last.is_done):
        return 600
    out[0] = last.time - first.time
    return 0


@entry(OUT, c_void_p, c_ulonglong)
def cudaGraphInstantiateWithFlags(fake: FakeCudart, out: Any, graph: int | None, flags: int) -> None:
    nodes = fake.get(graph, Graph)
    out[0] = fake.add(lambda handle: GraphExec(nodes))


@entry(c_void_p, c_void_p)
def cudaGraphLaunch(fake: FakeCudart, executable: int | None, stream: int | None) -> None:
    found = fake.stream(stream)
    if found.gpu != fake.current_gpu:
        raise ViolationError(f"a graph was launched on GPU {found.gpu} with GPU {fake.current_gpu} current")
    for node in fake.get(executable, GraphExec):
        fake.push(found, node)


@entry(c_void_p)
def cudaGraphExecDestroy(fake: FakeCudart, executable: int | None) -> None:
    nodes = fake.get(executable, GraphExec)
    if any(item in nodes for stream in fake.streams for item in stream.queue if isinstance(item, Operation)):
        raise ViolationError("a graph was destroyed with launches pending")
    fake.remove(executable, GraphExec)


@entry(c_void_p)
def cudaGraphDestroy(fake: FakeCudart, graph: int | None) -> None:
    fake.remove(graph, Graph)


def _gpu(fake: FakeCudart, index: int) -> Any:
    if not fake.gpus:
        raise CudaFailureError(100)
    if not 0 <= index < len(fake.gpus):
        raise CudaFailureError(101)
    return fake.gpus[index]


def _free(fake: FakeCudart, address: int, kinds: tuple[str, ...]) -> None:
    allocation = fake.memory.starting_at(address)
    if allocation is not None:
        for name, start in (("host", allocation.host), ("device", allocation.device)):
            if start is not None:
                fake.forbid_pending(name, start, allocation.size, str(allocation))
    fake.memory.free(address, kinds)


def _uncaptured(event: FakeEvent) -> Record | None:
    record = event.record
    if record is not None and record.capture is not None:
        record.capture.is_invalid = True
        raise CudaFailureError(CAPTURED_EVENT)
    return record
