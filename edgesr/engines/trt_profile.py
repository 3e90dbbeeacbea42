"""What TensorRT's profiler says about every layer of a loaded engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_engine import TrtEngine
from edgesr.errors import BackendError


def layer_times(backend: TrtBackend, loaded: TrtEngine, rounds: int) -> dict[str, float]:
    """Return the mean milliseconds of every layer in one run with the shapes that the engine was tuned for.

    The layers come in the order in which they run. With a profiler TensorRT waits for every layer, so that their sum
    leaves out the gaps between. One run before is not counted. Inputs are zeros.
    """
    api = backend.tensorrt
    # Loaded once more: before 10.0 two contexts of an engine may not share a profile.
    engine = backend.deserialize(loaded.path)
    native = engine.create_execution_context()
    if native is None:
        raise BackendError(f"{loaded.path.name} cannot be loaded once more to be profiled; free device memory")
    best = {name: shapes[1] for name, shapes in loaded.profiles[0].items()}
    buffers = []
    for name, spec in loaded.inputs.items():
        shape = tuple(best.get(name, spec.shape))
        buffers.append(backend.empty(shape, spec.dtype))
        buffers[-1].copy_from(np.zeros(shape, spec.dtype))
        if name in best and not native.set_input_shape(name, shape):
            raise BackendError(f"TensorRT refuses shape {shape} for input {name!r}")
        native.set_tensor_address(name, buffers[-1].ptr)
    for name, spec in loaded.outputs.items():
        buffers.append(backend.empty(tuple(int(size) for size in native.get_tensor_shape(name)), spec.dtype))
        native.set_tensor_address(name, buffers[-1].ptr)
    profiler = _profiler(api.trt)
    native.enqueue_emits_profile = True
    native.profiler = profiler
    for index in range(rounds + 1):
        if index == 1:
            profiler.times.clear()
        if not native.execute_async_v3(backend.stream.handle):
            raise BackendError("TensorRT failed while it profiled the engine")
        backend.synchronize()
    return {name: total / rounds for name, total in profiler.times.items()}


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        """Adds up by layer; TensorRT calls it once for each layer and run."""

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times[layer_name] = self.times.get(layer_name, 0.0) + ms

    return Profiler()
