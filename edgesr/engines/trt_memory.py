"""Device memory that TensorRT asks for: activations shared by all engines of a stream, outputs of unknown size."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.engines.base import Buffer
from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_foreign import interface
from edgesr.engines.cuda_memory import DeviceBuffer, ForeignBuffer
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError

_BYTES = np.dtype(np.uint8)


class ActivationMemory:
    """Scratch memory for the contexts whose runs follow each other on one stream, as large as the largest needs.

    ``generation`` changes with the address; contexts and graphs that used the former one must be set up again.
    """

    def __init__(self, cuda: CudaRuntime, stream: Stream) -> None:
        self.generation = 0
        self._cuda = cuda
        self._stream = stream
        self._buffer: DeviceBuffer | None = None

    @property
    def ptr(self) -> int:
        """Device address; 0 before the first reserve."""
        return self._buffer.ptr if self._buffer else 0

    @property
    def size(self) -> int:
        """Bytes reserved."""
        return self._buffer.nbytes if self._buffer else 0

    def reserve(self, size: int) -> None:
        """Have at least ``size`` bytes; waits for the stream when it must move."""
        if size <= self.size:
            return
        self.close()
        self._buffer = DeviceBuffer(self._cuda, self._stream, (size,), _BYTES)
        self.generation += 1

    def close(self) -> None:
        """Wait for the stream and free the memory."""
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None


class OutputAllocator:
    """Gives memory for one output whose size TensorRT finds out during the run.

    ``bound`` is the IOutputAllocator to hand to TensorRT; it must live as long as the context that has it.
    """

    def __init__(self, api: TensorRt, cuda: CudaRuntime, stream: Stream, dtype: np.dtype[Any]) -> None:
        self.failure: BackendError | None = None
        self._cuda = cuda
        self._stream = stream
        self._dtype = dtype
        self._memory: DeviceBuffer | None = None
        self._shape: tuple[int, ...] | None = None
        self.bound = _make_allocator(api.trt, self)

    def begin(self) -> None:
        """Forget the last run; its memory belongs to whoever took it."""
        self._memory = self._shape = self.failure = None

    def take(self, name: str) -> Buffer:
        """Return the output of the run that was just enqueued, as a buffer that owns its memory."""
        if self._memory is None or self._shape is None:
            raise BackendError(f"TensorRT did not say the shape of output {name!r}")
        return ForeignBuffer(self._stream, _View(self._memory, self._shape, self._dtype, self._stream))

    def allocate(self, size: int) -> int:
        """Give ``size`` bytes for the present run; 0 when there are none, with the reason in ``failure``."""
        try:
            if self._memory is None or self._memory.nbytes < size:
                # The address must not be 0 for an empty output either.
                self._memory = DeviceBuffer(self._cuda, self._stream, (max(size, 1),), _BYTES)
        except BackendError as error:
            self.failure = error
            return 0
        return self._memory.ptr

    def set_shape(self, shape: tuple[int, ...]) -> None:
        """Learn the shape of the present run's output."""
        self._shape = shape


class _View:
    """Part of a device buffer, as an array of the right shape and type for ForeignBuffer."""

    def __init__(self, memory: DeviceBuffer, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Stream) -> None:
        self._memory = memory
        self.__cuda_array_interface__ = interface(memory.ptr, shape, dtype, stream.handle)


def _make_allocator(trt: Any, owner: OutputAllocator) -> Any:
    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        """Passes TensorRT's requests on; 10.0 and newer ask through the second method."""

        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            return owner.allocate(size)

        def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            return owner.allocate(size)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            owner.set_shape(tuple(int(size) for size in shape))

    return Allocator()
