"""Buffers behind the seam: in device memory with pinned staging, in pinned host memory, and mapped into the GPU.

Copies are enqueued and ordered by streams and events; the host waits in ``numpy`` and where it would otherwise
overwrite memory that a copy still reads.
"""

from __future__ import annotations

import math
import weakref
from ctypes import byref, c_void_p
from functools import partial
from typing import Any

import numpy as np

from edgesr.engines.checks import check_copy
from edgesr.engines.cuda import Event, Stream
from edgesr.engines.cuda_foreign import Foreign, foreign, interface
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError
from edgesr.types import Array

__all__ = ["DeviceBuffer", "Download", "Foreign", "ForeignBuffer", "MappedBuffer", "PinnedBuffer", "foreign"]

# cudaMemcpyKind and cudaHostAlloc flags (driver_types.h).
_TO_DEVICE, _TO_HOST, _ON_DEVICE = 1, 2, 3
_PORTABLE, _MAPPED = 1, 2


class Download:
    """A copy to the host that is under way; made by ``download``."""

    def __init__(self, array: Array, event: Event) -> None:
        self.event = event
        self._array = array

    def numpy(self) -> Array:
        """Wait for the copy and return it, valid until the next copy from or to the same buffer."""
        self.event.synchronize()
        return self._array


class _DeviceMemory:
    """Device memory at an address, with the copies to and from it."""

    def __init__(self, stream: Stream, ptr: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        self._ptr: int | None = ptr
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._staging: Array | None = None
        self._copied: Event | None = None

    @property
    def ptr(self) -> int:
        """Device address."""
        if self._ptr is None:
            raise BackendError("the buffer is closed; allocate a new one")
        return self._ptr

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in elements."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self._shape) * self._dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The memory for other libraries; whoever reads it lets its own stream wait for the one named here."""
        return interface(self.ptr, self._shape, self._dtype, self._stream.handle)

    def copy_from(self, array: Array, *, stream: Stream | None = None, after: Event | None = None) -> None:
        """Enqueue a copy of ``array``, of this buffer's shape and dtype; the array may change at once afterwards.

        Without ``stream`` the copy takes its turn on the buffer's own. On another ``stream`` it overlaps the work
        of the own one: it waits for ``after``, the last run that reads the buffer (for all work so far when None),
        and what is enqueued on the own stream from now on waits for the copy.
        """
        check_copy(array, self._shape, self._dtype)
        ptr, on = self.ptr, stream or self._stream
        staging = self._free_staging()
        np.copyto(staging, array)
        if on is not self._stream:
            on.wait(after or self._stream.record())
        on.runtime.call("cudaMemcpyAsync", ptr, staging.ctypes.data, self.nbytes, _TO_DEVICE, on.handle)
        self._copied = on.record(self._copied)
        if on is not self._stream:
            self._stream.wait(self._copied)

    def copy_from_device(self, source: Any) -> None:
        """Enqueue a copy of device memory: another buffer, or an array of pycuda, CuPy, PyTorch, ...

        Reads it when its own stream has written it; the owner keeps it alive until this copy is done.
        """
        memory = foreign(source, stream=self._stream.handle)
        if memory.shape != self._shape or memory.dtype != self._dtype:
            raise BackendError(
                f"the buffer holds {self._dtype} {self._shape}, got {memory.dtype} {memory.shape} on the device"
            )
        _wait_for_producer(self._stream, memory)
        self._stream.runtime.call("cudaMemcpyAsync", self.ptr, memory.ptr, self.nbytes, _ON_DEVICE, self._stream.handle)

    def download(self, *, stream: Stream | None = None) -> Download:
        """Enqueue a copy to the host, after all work so far; on another ``stream`` later work overlaps it.

        Before later work writes this buffer again, its stream must wait for the download's ``event``, or the host
        must have taken the array.
        """
        ptr, on = self.ptr, stream or self._stream
        staging = self._free_staging()
        if on is not self._stream:
            on.wait(self._stream.record())
        on.runtime.call("cudaMemcpyAsync", staging.ctypes.data, ptr, self.nbytes, _TO_HOST, on.handle)
        self._copied = on.record(self._copied)
        return Download(staging, self._copied)

    def numpy(self) -> Array:
        """Wait for the work enqueued so far and return the content; valid until the next copy from or to here."""
        return self.download().numpy()

    def _free_staging(self) -> Array:
        """Return pinned memory of this buffer's size when no copy uses it any more."""
        if self._staging is None:
            self._staging = _pinned(self._stream, self._shape, self._dtype, _PORTABLE)
        if self._copied is not None:
            self._copied.synchronize()
        return self._staging

    def _forget(self) -> None:
        self._ptr = self._staging = self._copied = None


class DeviceBuffer(_DeviceMemory):
    """A buffer in device memory of its own, uninitialised."""

    def __init__(self, runtime: CudaRuntime, stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        allocated = c_void_p()
        stream.device.activate()
        # cudaMalloc(0) gives no address, which TensorRT refuses even for empty tensors.
        runtime.call("cudaMalloc", byref(allocated), max(size, 1))
        super().__init__(stream, allocated.value or 0, tuple(shape), dtype)
        free = partial(_free, runtime, stream, "cudaFree", self.ptr)
        self._free = weakref.finalize(self, runtime.release, free)

    def close(self) -> None:
        """Wait for the stream and free the memory; closing twice is allowed. Arrays from ``numpy`` stay readable."""
        self._forget()
        self._free()


class ForeignBuffer(_DeviceMemory):
    """Device memory of another library as a buffer, without a copy; see ``foreign`` for what is taken.

    Holds ``array`` and lets ``stream`` wait for the stream that wrote it. What a run writes here is ready for its
    owner once the owner's stream waited for ``stream``.
    """

    def __init__(self, stream: Stream, array: Any) -> None:
        memory = foreign(array, stream=stream.handle)
        _wait_for_producer(stream, memory)
        super().__init__(stream, memory.ptr, memory.shape, memory.dtype)
        self._owner: Foreign | None = memory

    def copy_from(self, array: Array, *, stream: Stream | None = None, after: Event | None = None) -> None:
        """Enqueue a copy of ``array`` into the foreign memory, as ``DeviceBuffer.copy_from`` does."""
        if self._owner is not None and self._owner.is_read_only:
            raise BackendError("the array's owner made it read-only; copy it before writing")
        super().copy_from(array, stream=stream, after=after)

    def close(self) -> None:
        """Wait for the stream and let the array go; closing twice is allowed."""
        self._stream.drain()
        self._owner = None
        self._forget()


class PinnedBuffer:
    """A buffer in page-locked host memory, which the GPU copies from and to without the CPU; ``ptr`` is the host's."""

    def __init__(self, runtime: CudaRuntime, stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        self._array: Array | None = _pinned(stream, tuple(shape), np.dtype(dtype), self._flags)
        self._ptr = self._address(runtime, int(self._array.ctypes.data))

    _flags = _PORTABLE

    @property
    def ptr(self) -> int:
        """Address as the GPU's copies (pinned) or kernels (mapped) take it."""
        self._content()
        return self._ptr

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in elements."""
        return self._content().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._content().dtype

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self._content().nbytes

    def copy_from(self, array: Array, *, after: Event | None = None) -> None:
        """Write ``array`` when ``after``, the last work that uses the buffer, is done (all work so far when None)."""
        content = self._content()
        check_copy(array, content.shape, content.dtype)
        self._wait(after)
        np.copyto(content, array)

    def numpy(self) -> Array:
        """Wait for the work enqueued so far and return the memory itself, without a copy."""
        content = self._content()
        self._wait(None)
        return content

    def close(self) -> None:
        """Let the memory go; it is freed when no array from ``numpy`` shows it any more."""
        self._array = None

    def _content(self) -> Array:
        if self._array is None:
            raise BackendError("the buffer is closed; allocate a new one")
        return self._array

    def _wait(self, after: Event | None) -> None:
        if after is None:
            self._stream.synchronize()
        else:
            after.synchronize()

    def _address(self, runtime: CudaRuntime, host: int) -> int:
        return host


class MappedBuffer(PinnedBuffer):
    """A buffer in host memory that the GPU works on in place; ``ptr`` is the device's address.

    Nothing is copied. Worth it where both share one memory, which ``cuda_probe.is_mapped_faster`` finds out.
    """

    _flags = _PORTABLE | _MAPPED

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The memory for other libraries, as DeviceBuffer gives it."""
        return interface(self.ptr, self.shape, self.dtype, self._stream.handle)

    def download(self) -> Download:
        """Mark the point where all work so far is done; nothing is copied."""
        return Download(self._content(), self._stream.record())

    def _address(self, runtime: CudaRuntime, host: int) -> int:
        device = c_void_p()
        runtime.call("cudaHostGetDevicePointer", byref(device), host, 0)
        return device.value or 0


class _Pages:
    """Page-locked memory that lives as long as any array shows it."""

    def __init__(self, stream: Stream, size: int, flags: int) -> None:
        allocated = c_void_p()
        stream.device.activate()
        stream.runtime.call("cudaHostAlloc", byref(allocated), max(size, 1), flags)
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": (allocated.value, False)}
        free = partial(_free, stream.runtime, stream, "cudaFreeHost", allocated.value or 0)
        weakref.finalize(self, stream.runtime.release, free)


def _pinned(stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any], flags: int) -> Array:
    pages = _Pages(stream, math.prod(shape) * dtype.itemsize, flags)
    array: Array = np.asarray(pages).view(dtype).reshape(shape)
    return array


def _free(runtime: CudaRuntime, stream: Stream, function: str, ptr: int) -> None:
    stream.drain()
    runtime.attempt(function, ptr)


def _wait_for_producer(stream: Stream, memory: Foreign) -> None:
    if memory.stream is not None and memory.stream != stream.handle:
        stream.wait(Stream.from_handle(stream.runtime, memory.stream, stream.device).record())
