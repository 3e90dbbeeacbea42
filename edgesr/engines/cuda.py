"""CUDA's own nouns: Device, Stream and Event, over the CUDA runtime library.

Only the primary context of each device is used, the one that PyTorch, CuPy and TensorRT use too; with pycuda this
means ``import pycuda.autoprimaryctx`` in place of ``pycuda.autoinit``. Every object may be used from any thread: each
operation first makes its device current on the calling thread, and leaves it so.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from functools import cached_property, partial
from typing import Any

from edgesr.engines.cuda_foreign import stream_handle
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError

# cudaDeviceAttr, cudaStream and cudaEvent flags (driver_types.h), the same in CUDA 11, 12 and 13.
_MULTIPROCESSOR_COUNT = 16
_INTEGRATED = 18
_CAN_MAP_HOST_MEMORY = 19
_COMPUTE_CAPABILITY = (75, 76)
_NON_BLOCKING = 1
_WITHOUT_TIMING = 2
_NOT_READY = 600
_DEFAULT_STREAMS = (0, 1)
# cudaDeviceProp begins with `char name[256]` in every version and is about 1 KiB long.
_NAME_BYTES = 256
_PROPERTIES_BYTES = 16384


class Device:
    """One GPU; ``index`` counts the GPUs that the process may see."""

    def __init__(self, runtime: CudaRuntime, index: int = 0) -> None:
        count = c_int()
        runtime.call("cudaGetDeviceCount", byref(count))
        if not 0 <= index < count.value:
            raise BackendError(f"there is no GPU {index}; this process sees {count.value}, counted from 0")
        self.runtime = runtime
        self.index = index

    @cached_property
    def name(self) -> str:
        """Product name, e.g. ``Orin`` or ``NVIDIA H200``."""
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self.runtime.call("cudaGetDeviceProperties", properties, self.index)
        return properties.raw[:_NAME_BYTES].split(b"\0", 1)[0].decode(errors="replace")

    @cached_property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor, e.g. ``(8, 7)`` for Orin."""
        major, minor = (self._attribute(number) for number in _COMPUTE_CAPABILITY)
        return major, minor

    @cached_property
    def sm_count(self) -> int:
        """Number of streaming multiprocessors."""
        return self._attribute(_MULTIPROCESSOR_COUNT)

    @cached_property
    def is_integrated(self) -> bool:
        """Whether GPU and CPU share one memory, as on every Jetson."""
        return bool(self._attribute(_INTEGRATED))

    @cached_property
    def can_map_host_memory(self) -> bool:
        """Whether the GPU can work on host memory in place."""
        return bool(self._attribute(_CAN_MAP_HOST_MEMORY))

    @property
    def total_memory(self) -> int:
        """Bytes of device memory; on an integrated GPU those of the machine."""
        return self._memory()[1]

    @property
    def free_memory(self) -> int:
        """Bytes of device memory that can still be allocated, as the driver counts them."""
        return self._memory()[0]

    def activate(self) -> None:
        """Make this the calling thread's current device; needed before TensorRT builds, loads or enqueues."""
        self.runtime.call("cudaSetDevice", self.index)

    def _attribute(self, number: int) -> int:
        value = c_int()
        self.runtime.call("cudaDeviceGetAttribute", byref(value), number, self.index)
        return value.value

    def _memory(self) -> tuple[int, int]:
        self.activate()
        free, total = c_size_t(), c_size_t()
        self.runtime.call("cudaMemGetInfo", byref(free), byref(total))
        return free.value, total.value


class Stream:
    """A queue of work on one device, in order.

    Makes an own stream that does not wait for the default stream, and owns it; with ``handle`` it stands for a
    foreign one, which its owner keeps alive until the buffers made on it are closed.
    """

    def __init__(self, runtime: CudaRuntime, device: Device, handle: int | None = None) -> None:
        self.runtime = runtime
        self.device = device
        self.is_foreign = handle is not None
        created = c_void_p(handle)
        if handle is None:
            device.activate()
            runtime.call("cudaStreamCreateWithFlags", byref(created), _NON_BLOCKING)
        self._handle = created.value or 0
        free: Callable[[], object] = _nothing if self.is_foreign else partial(_destroy_stream, runtime, self._handle)
        self._free = weakref.finalize(self, runtime.release, free)

    @classmethod
    def from_handle(cls, runtime: CudaRuntime, handle: Any, device: Device | None = None) -> Stream:
        """Take a foreign stream: its integer ``cudaStream_t``, or an object of pycuda, CuPy, PyTorch or cuda.core.

        ``device`` is the stream's device, the calling thread's current one when None.
        """
        if device is None:
            index = c_int()
            runtime.call("cudaGetDevice", byref(index))
            device = Device(runtime, index.value)
        return cls(runtime, device, stream_handle(handle))

    @property
    def handle(self) -> int:
        """The ``cudaStream_t`` as an integer, as ``execute_async_v3`` takes it."""
        if self.is_closed:
            raise BackendError("the stream is closed; open a new one")
        return self._handle

    @property
    def is_closed(self) -> bool:
        """Whether the stream was closed."""
        return not self._free.alive

    @property
    def is_default(self) -> bool:
        """Whether this is CUDA's default stream, which cannot be captured and makes TensorRT wait at each run."""
        return self.handle in _DEFAULT_STREAMS

    @property
    def is_capturing(self) -> bool:
        """Whether work is being recorded in place of run."""
        status = c_int()
        self.runtime.call("cudaStreamIsCapturing", self.handle, byref(status))
        return status.value != 0

    def synchronize(self) -> None:
        """Wait until everything enqueued so far is done; raise BackendError when some of it failed."""
        self.device.activate()
        self.runtime.call("cudaStreamSynchronize", self.handle)

    def record(self, event: Event | None = None, *, timing: bool = False) -> Event:
        """Mark this point of the queue by a new event, or by ``event`` anew; ``timing`` lets the new one be timed."""
        self.device.activate()
        event = event or Event(self.device, timing=timing)
        self.runtime.call("cudaEventRecord", event.handle, self.handle)
        return event

    def wait(self, event: Event) -> None:
        """Let what is enqueued from now on wait for ``event``, without waiting here."""
        self.device.activate()
        self.runtime.call("cudaStreamWaitEvent", self.handle, event.handle, 0)

    def close(self) -> None:
        """Wait for the stream's work and destroy it; a foreign one is left to its owner. Closing twice is allowed."""
        self._free()

    def drain(self) -> None:
        """Wait as ``synchronize`` does, but return at once when closed and raise nothing; for freeing."""
        if self._free.alive:
            self.runtime.attempt("cudaStreamSynchronize", self._handle)


class Event:
    """A point in a stream's queue; made by ``Stream.record``. The difference of two timed events is milliseconds."""

    def __init__(self, device: Device, *, timing: bool = False) -> None:
        created = c_void_p()
        device.runtime.call("cudaEventCreateWithFlags", byref(created), 0 if timing else _WITHOUT_TIMING)
        self.runtime = device.runtime
        self.is_timed = timing
        self._handle = created.value or 0
        free = partial(self.runtime.attempt, "cudaEventDestroy", self._handle)
        self._free = weakref.finalize(self, self.runtime.release, free)

    @property
    def handle(self) -> int:
        """The ``cudaEvent_t`` as an integer."""
        if not self._free.alive:
            raise BackendError("the event is closed; record a new one")
        return self._handle

    @property
    def is_done(self) -> bool:
        """Whether the work before this point is done."""
        code = self.runtime.attempt("cudaEventQuery", self.handle)
        if code not in (0, _NOT_READY):
            raise self.runtime.error("cudaEventQuery", code)
        return code == 0

    def synchronize(self) -> None:
        """Wait until the work before this point is done."""
        self.runtime.call("cudaEventSynchronize", self.handle)

    def drain(self) -> None:
        """Wait as ``synchronize`` does, but return at once when closed and raise nothing; for freeing."""
        if self._free.alive:
            self.runtime.attempt("cudaEventSynchronize", self._handle)

    def close(self) -> None:
        """Destroy the event; closing twice is allowed."""
        self._free()

    def __sub__(self, start: Event) -> float:
        if not (self.is_timed and start.is_timed):
            raise BackendError("events measure time only when both were recorded with timing=True")
        self.synchronize()
        milliseconds = c_float()
        self.runtime.call("cudaEventElapsedTime", byref(milliseconds), start.handle, self.handle)
        return milliseconds.value


def _destroy_stream(runtime: CudaRuntime, handle: int) -> None:
    runtime.attempt("cudaStreamSynchronize", handle)
    runtime.attempt("cudaStreamDestroy", handle)


def _nothing() -> None:
    """Free nothing."""
