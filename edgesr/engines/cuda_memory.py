"""Buffers behind the seam: in device memory, over other libraries' arrays, in pinned memory, mapped into the GPU.

The host waits in ``numpy`` and where it would otherwise overwrite memory that enqueued work still uses; ``close``
waits for the buffer's stream. Each buffer is freed by ``close`` or by the garbage collector, whichever comes first.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from ctypes import byref, c_int, c_void_p
from functools import partial
from typing import Any

import numpy as np

from edgesr.engines.checks import check_copy
from edgesr.engines.cuda import Event, Stream
from edgesr.engines.cuda_copies import (
    MAPPED,
    PORTABLE,
    Copies,
    DeviceMemory,
    Download,
    Usage,
    free_memory,
    pinned,
    wait_for_producer,
)
from edgesr.engines.cuda_foreign import Foreign, foreign, interface
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError
from edgesr.types import Array

__all__ = ["Copies", "DeviceBuffer", "Download", "Foreign", "ForeignBuffer", "MappedBuffer", "PinnedBuffer", "foreign"]

_UNKNOWN_TO_CUDA = 0


class DeviceBuffer(DeviceMemory):
    """A buffer in device memory of its own, uninitialised; ``copies`` as for DeviceMemory."""

    def __init__(
        self,
        runtime: CudaRuntime,
        stream: Stream,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        copies: Copies | None = None,
    ) -> None:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        allocated = c_void_p()
        stream.device.activate()
        # cudaMalloc(0) gives no address, which TensorRT refuses even for empty tensors.
        runtime.call("cudaMalloc", byref(allocated), max(size, 1))
        super().__init__(stream, allocated.value or 0, tuple(shape), dtype, copies)
        self._free = weakref.finalize(self, runtime.release, partial(free_memory, self._usage, "cudaFree", self.ptr))

    def close(self) -> None:
        """Wait for the stream and free the memory; closing twice is allowed. Arrays from ``numpy`` stay readable."""
        self._forget()
        self._free()


class ForeignBuffer(DeviceMemory):
    """Device memory of another library as a buffer, without a copy; see ``foreign`` for what is taken.

    Keeps ``array`` alive and lets ``stream`` wait for the stream that wrote it. What a run writes here is ready for
    its owner once the owner's stream waited for ``stream``.
    """

    def __init__(self, stream: Stream, array: Any) -> None:
        memory = foreign(array, stream=stream.handle)
        ptr = _device_address(stream, memory)
        wait_for_producer(stream, memory)
        super().__init__(stream, ptr, memory.shape, memory.dtype)
        self._is_read_only = memory.is_read_only
        self._free = weakref.finalize(self, stream.runtime.release, partial(_let_go, self._usage, [memory]))

    def copy_from(self, array: Array, *, stream: Stream | None = None, after: Event | None = None) -> None:
        """Enqueue a copy of ``array`` into the foreign memory, as ``DeviceBuffer.copy_from`` does."""
        self._check_writable()
        super().copy_from(array, stream=stream, after=after)

    def copy_from_device(self, source: Any) -> None:
        """Enqueue a copy on the device into the foreign memory, as ``DeviceBuffer.copy_from_device`` does."""
        self._check_writable()
        super().copy_from_device(source)

    def close(self) -> None:
        """Wait for the stream and let the array go; closing twice is allowed."""
        self._forget()
        self._free()

    def _check_writable(self) -> None:
        if self._is_read_only:
            raise BackendError("the array's owner made it read-only; write to a copy of it")


class PinnedBuffer:
    """A buffer in page-locked host memory, which the GPU copies from and to without the CPU; ``ptr`` is the host's."""

    _flags = PORTABLE

    def __init__(
        self,
        runtime: CudaRuntime,
        stream: Stream,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        copies: Copies | None = None,
    ) -> None:
        self.ran: Event | None = None
        self._waits_for_runs = copies is not None
        self._stream = stream
        self._array: Array | None = pinned(Usage(stream), tuple(shape), np.dtype(dtype), self._flags)
        self._ptr = self._address(runtime, int(self._array.ctypes.data))

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
        """Write ``array`` when ``after``, the last work that uses the buffer (all so far when None), is done."""
        content = self._content()
        check_copy(array, content.shape, content.dtype)
        self._wait(after)
        np.copyto(content, array)

    def wait(self) -> None:
        """Wait for ``ran`` where it is known, else for all work so far."""
        self._wait(None)

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
        after = after or (self.ran if self._waits_for_runs else None)
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

    _flags = PORTABLE | MAPPED

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


class _PointerAttributes(ctypes.Structure):
    # cudaPointerAttributes; CUDA 13 has further, reserved fields.
    _fields_ = (
        ("type", c_int),
        ("device", c_int),
        ("device_pointer", c_void_p),
        ("host_pointer", c_void_p),
        ("reserved", ctypes.c_uint8 * 232),
    )


def _device_address(stream: Stream, memory: Foreign) -> int:
    """Return where the stream's device sees ``memory``; raise BackendError where it does not."""
    if 0 in memory.shape:
        return memory.ptr
    attributes = _PointerAttributes()
    stream.device.activate()
    stream.runtime.call("cudaPointerGetAttributes", byref(attributes), memory.ptr)
    if attributes.type == _UNKNOWN_TO_CUDA or not attributes.device_pointer:
        raise BackendError(f"the array's address {memory.ptr:#x} is not memory of a GPU; pass its values to copy_from")
    if attributes.device != stream.device.index:
        raise BackendError(
            f"the array lies on GPU {attributes.device}, this network runs on GPU {stream.device.index}; move one"
        )
    return int(attributes.device_pointer)


def _let_go(usage: Usage, memory: list[Foreign]) -> None:
    usage.drain()
    memory.clear()
