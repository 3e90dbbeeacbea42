"""The network of a package that labels pictures: one prepared picture in, its outputs by role."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter

import numpy as np

from edgesr.engines.base import Backend, Engine
from edgesr.errors import BackendError, ModelError
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage
from edgesr.pipelines.network import Timings
from edgesr.types import Array, FloatArray


class LabelNetwork:
    """The ``network`` part of a package, loaded on a backend, from ``file`` where it needs an own form. Thread-safe."""

    def __init__(self, package: ModelPackage, backend: Backend, file: Path | None = None) -> None:
        self.descriptor = package.descriptor
        self._backend = backend
        self._part = self.descriptor.parts[NETWORK]
        self._engine: Engine = backend.load(file or package.part_path(NETWORK))
        self._lock = threading.Lock()
        for kind, roles, tensors in (
            ("input", self._part.inputs, self._engine.inputs),
            ("output", self._part.outputs, self._engine.outputs),
        ):
            for tensor in roles.values():
                if tensor not in tensors:
                    raise ModelError(
                        f"model {self.descriptor.name}: model.json names the {kind} {tensor!r}, the network has "
                        f"{', '.join(tensors)}"
                    )

    def run(self, values: FloatArray, timings: Timings) -> dict[str, Array]:
        """Run the network on float32 ``(height, width, C)`` in its own range and return its outputs by role."""
        start = perf_counter()
        spec = self._engine.inputs[self._part.inputs["image"]]
        array = values.transpose(2, 0, 1) if self.descriptor.input.layout == "NCHW" else values
        if len(spec.shape) == 4:
            array = array[np.newaxis]
        if not spec.accepts(array.shape):
            raise ModelError(
                f"model {self.descriptor.name}: its network takes {spec.shape}, model.json prepares {array.shape}; "
                "correct input.resize, input.crop, input.layout or input_channels"
            )
        if spec.dtype.kind == "u":
            array = np.clip(np.rint(array), 0, np.iinfo(spec.dtype).max)
        array = np.ascontiguousarray(array, dtype=spec.dtype)
        staged = perf_counter()
        with self._lock:
            buffer = self._backend.empty(array.shape, spec.dtype)
            buffer.copy_from(array)
            copied = perf_counter()
            outputs = self._engine.run({spec.name: buffer})
            for output in outputs.values():
                output.wait()
            ran = perf_counter()
            results = {role: np.array(outputs[tensor].numpy()) for role, tensor in self._part.outputs.items()}
        done = perf_counter()
        for role, result in results.items():
            if result.dtype.kind == "f" and not np.isfinite(result.sum(dtype=np.float64)):
                raise BackendError(
                    f"model {self.descriptor.name} produced NaN or infinite {role}; if this is an FP16 model, use its "
                    "FP32 form"
                )
        timings.pre += staged - start
        timings.h2d += copied - staged
        timings.infer += ran - copied
        timings.d2h += done - ran
        return results

    def close(self) -> None:
        """Free the engine."""
        with self._lock:
            self._engine.close()
