"""Whether a network runs faster on mapped host memory than with copies: tried, on this device, with this network."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer

Allocate: TypeAlias = Callable[[tuple[int, ...], np.dtype[Any]], DeviceBuffer | MappedBuffer]
"""Makes an input or output buffer of a shape and dtype."""

_LEAST_GAIN = 0.95


def is_mapped_faster(
    stream: Stream,
    prepare: Callable[[Allocate], Callable[[], object]],
    *,
    repeats: int = 5,
    clock: Callable[[], float] = perf_counter,
) -> bool:
    """Tell whether frames go through faster in mapped memory, by running a few each way.

    Only GPUs that share the CPU's memory are tried: elsewhere mapped memory is read over the bus at every access.
    There the outcome depends on the board (mapped memory is not cached for the CPU before Xavier) and on how often
    the network reads its input, so nothing but trying tells. ``prepare`` makes its buffers with the function that it
    gets, and returns a function that does one frame, from host array to host array. The buffers are closed at the
    end. Mapped memory must win by 5 % of the fastest frames' times; two frames warm up, ``repeats`` are timed.
    """
    if not (stream.device.is_integrated and stream.device.can_map_host_memory):
        return False
    seconds = {kind: _fastest(stream, kind, prepare, repeats, clock) for kind in (DeviceBuffer, MappedBuffer)}
    return seconds[MappedBuffer] < seconds[DeviceBuffer] * _LEAST_GAIN


def _fastest(
    stream: Stream,
    kind: type[DeviceBuffer] | type[MappedBuffer],
    prepare: Callable[[Allocate], Callable[[], object]],
    repeats: int,
    clock: Callable[[], float],
) -> float:
    buffers: list[DeviceBuffer | MappedBuffer] = []

    def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceBuffer | MappedBuffer:
        buffers.append(kind(stream.runtime, stream, shape, dtype))
        return buffers[-1]

    try:
        frame = prepare(allocate)
        times = []
        for _ in range(repeats + 2):
            start = clock()
            frame()
            stream.synchronize()
            times.append(clock() - start)
        return min(times[2:])
    finally:
        for buffer in buffers:
            buffer.close()
