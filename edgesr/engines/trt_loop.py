"""Many runs of one engine as one CUDA graph: one copy to the device, one launch, one copy back."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgesr.engines.base import Buffer
from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_copies import DeviceMemory, copy_on_device
from edgesr.engines.cuda_memory import DeviceBuffer
from edgesr.engines.trt_context import ALIGNMENT, Context
from edgesr.errors import BackendError
from edgesr.types import Array

if TYPE_CHECKING:
    from edgesr.engines.trt_engine import TrtEngine

_BYTES = np.dtype(np.uint8)


class TrtLoop:
    """Runs of ``loaded`` in a row on its stream; made by ``TrtEngine.loop``, one call at a time.

    What comes in lies in one piece of device memory, with the inputs that stay in the place where the engine reads
    them; what goes out in another. Between two runs the device copies a table's next row into its input and each
    carried output into the input that it becomes: all at fixed addresses, so that one context serves every run.
    """

    def __init__(
        self,
        loaded: TrtEngine,
        stream: Stream,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: Mapping[str, tuple[int, ...]],
        *,
        runs: int,
        tables: Collection[str],
        carried: Mapping[str, str],
    ) -> None:
        self.runs = runs
        self._loaded = loaded
        self._given = _Block(
            stream,
            {
                name: ((runs, *shape) if name in tables else shape, loaded.inputs[name].dtype)
                for name, shape in inputs.items()
            },
        )
        self._made = _Block(stream, {name: (shape, loaded.outputs[name].dtype) for name, shape in outputs.items()})
        self._rows = {
            name: DeviceBuffer(stream.runtime, stream, tuple(inputs[name]), loaded.inputs[name].dtype)
            for name in tables
        }
        self._inputs: dict[str, Buffer] = {**self._given.parts, **self._rows}
        self._next = [_Move(row.ptr, self._given.parts[name].ptr, row.nbytes) for name, row in self._rows.items()]
        made = {name: self._made.parts[output] for output, name in carried.items()}
        self._carried = [_Move(self._inputs[name].ptr, part.ptr, part.nbytes) for name, part in made.items()]

    def __call__(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Run; see Loop."""
        self._given.upload(values)
        self._loaded.run(self._inputs, self._made.parts, work=self._enqueue, runs=self.runs)
        return self._made.download()

    def close(self) -> None:
        """Wait for the stream and free the memory."""
        for buffer in (*self._rows.values(), self._given.memory, self._made.memory):
            buffer.close()

    def _enqueue(self, context: Context, stream: Stream) -> bool:
        for index in range(self.runs):
            for row, table, size in self._next:
                copy_on_device(stream, row, table + index * size, size)
            if not context.enqueue(stream):
                return False
            for move in self._carried if index + 1 < self.runs else ():
                copy_on_device(stream, *move)
        return True


class _Move(NamedTuple):
    target: int
    source: int
    size: int


class _Block:
    """Tensors in one piece of device memory, copied to or from the host at once."""

    def __init__(self, stream: Stream, tensors: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        end = 0
        for name, (shape, dtype) in tensors.items():
            size = math.prod(shape) * dtype.itemsize
            self._places[name] = (end, size)
            end += -(-size // ALIGNMENT) * ALIGNMENT
        self.memory = DeviceBuffer(stream.runtime, stream, (end,), _BYTES)
        self.parts = {
            name: DeviceMemory(stream, self.memory.ptr + self._places[name][0], shape, dtype)
            for name, (shape, dtype) in tensors.items()
        }

    def upload(self, values: Mapping[str, Array]) -> None:
        """Copy all tensors to the device; ``values`` has each of them, in a type that can be cast to the tensor's."""
        staging = self.memory.staging()
        for name, part in self.parts.items():
            array = values[name]
            if array.shape != part.shape:
                raise BackendError(f"the loop takes {name!r} of shape {part.shape}, got {array.shape}")
            np.copyto(self._view(staging, name), array, casting="same_kind")
        self.memory.copy_from(staging)

    def download(self) -> dict[str, Array]:
        """Wait and return views of all tensors, valid until the next download."""
        content = self.memory.numpy()
        return {name: self._view(content, name) for name in self.parts}

    def _view(self, content: Array, name: str) -> Array:
        (start, size), part = self._places[name], self.parts[name]
        view: Array = content[start : start + size].view(part.dtype).reshape(part.shape)
        return view
