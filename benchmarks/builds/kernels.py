"""What TensorRT's own profiler says about every layer of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.engines.trt import TrtBackend


def kernel_times(backend: TrtBackend, path: Path, feed: Mapping[str, np.ndarray[Any, Any]], rounds: int) -> list[float]:
    """Return the sum of the layers' times of each run in milliseconds, after one run that is not counted.

    With a profiler TensorRT waits for every layer, so that the sum holds the kernels and none of the gaps between.
    """
    api = backend.tensorrt
    profiler = _profiler(api.trt)
    runtime = api.runtime()
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    native = engine.create_execution_context()
    inputs = [name for name in feed if engine.get_tensor_mode(name) == api.trt.TensorIOMode.INPUT]
    buffers = []
    for name in inputs:
        dtype = api.dtype(engine.get_tensor_dtype(name), name)
        array = np.ascontiguousarray(feed[name].astype(dtype, copy=False))
        buffers.append(backend.empty(array.shape, array.dtype))
        buffers[-1].copy_from(array)
        native.set_input_shape(name, array.shape)
        native.set_tensor_address(name, buffers[-1].ptr)
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if name not in inputs:
            shape = tuple(int(size) for size in native.get_tensor_shape(name))
            buffers.append(backend.empty(shape, api.dtype(engine.get_tensor_dtype(name), name)))
            native.set_tensor_address(name, buffers[-1].ptr)
    native.enqueue_emits_profile = True
    native.profiler = profiler
    sums = []
    for _ in range(rounds + 1):
        profiler.total = 0.0
        native.execute_async_v3(backend.stream.handle)
        backend.synchronize()
        sums.append(profiler.total)
    return sums[1:]


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        """Adds up; TensorRT calls it once for each layer and run."""

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.total = 0.0

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.total += ms

    return Profiler()
