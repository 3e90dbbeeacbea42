"""Copies between host and device memory through pinned staging, ordered by streams and events."""

from __future__ import annotations

import math
import weakref
from ctypes import byref, c_void_p
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from edgesr.engines.checks import check_copy
from edgesr.engines.cuda import Event, Stream
from edgesr.engines.cuda_foreign import Foreign, foreign, interface
from edgesr.errors import BackendError
from edgesr.types import Array

# cudaMemcpyKind and cudaHostAlloc flags (driver_types.h).
# By the addresses: those of mapped memory are a GPU's and lie in the host's memory.
_TO_DEVICE, _TO_HOST, _BY_ADDRESS = 1, 2, 4
PORTABLE, MAPPED = 1, 2
_CLOSED = "the buffer is closed; allocate a new one"


class Copies(NamedTuple):
    """The streams that copy to and from buffers while the buffers' own stream computes with others."""

    upload: Stream
    download: Stream


class DeviceMemory:
    """Device memory at an address, with the copies to and from it; who owns it is for the subclass to say.

    ``ran`` is the last run that uses the memory, set by whoever enqueues runs. With ``copies`` the copies wait for it
    alone, so that they overlap runs on other buffers: upload of the next, run, download of the one before.
    """

    def __init__(
        self, stream: Stream, ptr: int, shape: tuple[int, ...], dtype: np.dtype[Any], copies: Copies | None = None
    ) -> None:
        self.ran: Event | None = None
        self._copies = copies
        self._stream = stream
        self._ptr: int | None = ptr
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._staging: Array | None = None
        self._usage = Usage(stream)

    @property
    def ptr(self) -> int:
        """Device address."""
        if self._ptr is None:
            raise BackendError(_CLOSED)
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

        Without ``stream`` the copy takes its turn on the buffer's own, or where it has ``Copies`` on that for uploads.
        On another ``stream`` it overlaps the work of the own one: it waits for ``after``, the last run that uses the
        buffer (when None ``ran`` where it has ``Copies``, else all work so far), and what is enqueued on the own stream
        from now on waits for the copy.
        """
        check_copy(array, self._shape, self._dtype)
        ptr, on = self.ptr, stream or (self._copies.upload if self._copies else self._stream)
        staging = self.staging()
        if array is not staging:
            np.copyto(staging, array)
        if on is not self._stream:
            on.wait(after or self._last_use())
        copied = self._copy(ptr, staging.ctypes.data, _TO_DEVICE, on)
        if on is not self._stream:
            self._stream.wait(copied)

    def copy_from_device(self, source: Any) -> None:
        """Enqueue a copy of device memory: another buffer, or an array of pycuda, CuPy, PyTorch, ...

        Reads it when its own stream has written it; the owner keeps it, unchanged, until this copy is done.
        """
        memory = foreign(source, stream=self._stream.handle)
        if memory.shape != self._shape or memory.dtype != self._dtype:
            raise BackendError(
                f"the buffer holds {self._dtype} {self._shape}, got {memory.dtype} {memory.shape} on the device"
            )
        on = self._stream
        wait_for_producer(on, memory)
        on.device.activate()
        copy_on_device(on, self.ptr, memory.ptr, self.nbytes)
        if self._copies is not None:
            self.ran = on.record()

    def download(self, *, stream: Stream | None = None) -> Download:
        """Enqueue a copy to the host, after ``ran`` or all work so far; on another ``stream`` later work overlaps it.

        Before later work writes this buffer again, its stream must wait for the download's ``event``, or the host
        must have taken the array.
        """
        ptr, on = self.ptr, stream or (self._copies.download if self._copies else self._stream)
        staging = self.staging()
        if on is not self._stream:
            on.wait(self._last_use())
            if self._usage.copied is not None:
                on.wait(self._usage.copied)
        return Download(staging, self._copy(staging.ctypes.data, ptr, _TO_HOST, on))

    def wait(self) -> None:
        """Wait for ``ran``, or all work so far where it has no ``Copies``."""
        if self._copies is not None and self.ran is not None:
            self.ran.synchronize()
        else:
            self._stream.synchronize()

    def numpy(self) -> Array:
        """Wait for the work enqueued so far and return the content; valid until the next copy from or to here."""
        return self.download().numpy()

    def staging(self) -> Array:
        """Return the pinned array of this buffer's shape, to be filled in place and given to ``copy_from``.

        Waits until no copy uses it any more. Filling it saves ``copy_from`` a copy by the CPU.
        """
        if self._ptr is not None and self._staging is None:
            self._staging = pinned(self._usage, self._shape, self._dtype, PORTABLE)
        if self._staging is None:
            raise BackendError(_CLOSED)
        if self._usage.copied is not None:
            self._usage.copied.synchronize()
        return self._staging

    def _last_use(self) -> Event:
        return (self.ran if self._copies else None) or self._stream.record()

    def _copy(self, target: int, source: int, kind: int, on: Stream) -> Event:
        on.device.activate()
        on.runtime.call("cudaMemcpyAsync", target, source, self.nbytes, kind, on.handle)
        self._usage.copied = on.record(self._usage.copied)
        return self._usage.copied

    def _forget(self) -> None:
        self._ptr = self._staging = None


class Download:
    """A copy to the host that is under way; made by ``download``."""

    def __init__(self, array: Array, event: Event) -> None:
        self.event = event
        self._array = array

    def numpy(self) -> Array:
        """Wait for the copy and return it, valid until the next copy from or to the same buffer."""
        self.event.synchronize()
        return self._array


class Usage:
    """What may still use a buffer's memory: all work on its stream, and its last copy on another one."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.copied: Event | None = None

    def drain(self) -> None:
        """Wait for it, raising nothing; for freeing."""
        self.stream.drain()
        if self.copied is not None:
            self.copied.drain()
            self.copied = None


class _Pages:
    """Page-locked host memory that lives as long as any array shows it."""

    def __init__(self, usage: Usage, size: int, flags: int) -> None:
        allocated, runtime = c_void_p(), usage.stream.runtime
        usage.stream.device.activate()
        runtime.call("cudaHostAlloc", byref(allocated), max(size, 1), flags)
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": (allocated.value, False)}
        weakref.finalize(self, runtime.release, partial(free_memory, usage, "cudaFreeHost", allocated.value or 0))


def copy_on_device(stream: Stream, target: int, source: int, size: int) -> None:
    """Enqueue a copy of ``size`` bytes between two addresses that the GPU knows."""
    stream.runtime.call("cudaMemcpyAsync", target, source, size, _BY_ADDRESS, stream.handle)


def pinned(usage: Usage, shape: tuple[int, ...], dtype: np.dtype[Any], flags: int) -> Array:
    """Allocate a page-locked array; it is freed, once its usage is over, with the last view of it."""
    pages = _Pages(usage, math.prod(shape) * dtype.itemsize, flags)
    array: Array = np.asarray(pages).view(dtype).reshape(shape)
    return array


def free_memory(usage: Usage, function: str, ptr: int) -> None:
    """Free ``ptr`` by the function of that name when its usage is over; for ``CudaRuntime.release``."""
    usage.drain()
    usage.stream.runtime.attempt(function, ptr)


def wait_for_producer(stream: Stream, memory: Foreign) -> None:
    """Let ``stream`` wait for what the owner of ``memory`` has enqueued so far."""
    if memory.stream is not None and memory.stream != stream.handle:
        stream.wait(Stream.from_handle(stream.runtime, memory.stream, stream.device).record())
