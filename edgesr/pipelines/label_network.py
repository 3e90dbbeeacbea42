"""The networks of a package that labels pictures: tensors in, outputs by role."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np

from edgesr.engines.base import Backend, Engine
from edgesr.errors import BackendError, ModelError
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray


class PartNetwork:
    """One part of a package, loaded on a backend, from ``file`` where it needs an own form. Thread-safe."""

    def __init__(self, package: ModelPackage, backend: Backend, part: str, file: Path | None = None) -> None:
        self.descriptor = package.descriptor
        self.part = self.descriptor.parts[part]
        self._backend = backend
        self._engine: Engine = backend.load(file or package.part_path(part))
        self._lock = threading.Lock()
        self.inputs = {role: self._engine.inputs.get(tensor) for role, tensor in self.part.inputs.items()}
        """What the network takes, by role."""
        for kind, roles, tensors in (
            ("input", self.part.inputs, self._engine.inputs),
            ("output", self.part.outputs, self._engine.outputs),
        ):
            for tensor in roles.values():
                if tensor not in tensors:
                    raise ModelError(
                        f"model {self.descriptor.name}: model.json names the {kind} {tensor!r}, the network has "
                        f"{', '.join(tensors)}"
                    )

    def run(self, arrays: Mapping[str, Array], timings: Timings) -> dict[str, Array]:
        """Run the network on arrays by role, of its own types and shapes, and return its outputs by role."""
        start = perf_counter()
        with self._lock:
            buffers = {}
            for role, array in arrays.items():
                tensor = self.part.inputs[role]
                buffers[tensor] = self._backend.empty(array.shape, array.dtype)
                buffers[tensor].copy_from(array)
            copied = perf_counter()
            outputs = self._engine.run(buffers)
            for output in outputs.values():
                output.wait()
            ran = perf_counter()
            results = {role: np.array(outputs[tensor].numpy()) for role, tensor in self.part.outputs.items()}
        done = perf_counter()
        for role, result in results.items():
            if result.dtype.kind == "f" and not np.isfinite(result.sum(dtype=np.float64)):
                raise BackendError(
                    f"model {self.descriptor.name} produced NaN or infinite {role}; if this is an FP16 model, use its "
                    "FP32 form"
                )
        timings.h2d += copied - start
        timings.infer += ran - copied
        timings.d2h += done - ran
        return results

    def close(self) -> None:
        """Free the engine."""
        with self._lock:
            self._engine.close()


class LabelNetwork(PartNetwork):
    """The ``network`` part of a package, which sees the picture."""

    def __init__(self, package: ModelPackage, backend: Backend, file: Path | None = None) -> None:
        super().__init__(package, backend, NETWORK, file)

    def label(self, values: FloatArray, timings: Timings) -> dict[str, Array]:
        """Run the network on float32 ``(height, width, C)`` in its own range and return its outputs by role."""
        start = perf_counter()
        spec = self.inputs["image"]
        assert spec is not None
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
        timings.pre += perf_counter() - start
        return self.run({"image": array}, timings)
