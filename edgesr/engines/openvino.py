"""OpenVINO behind the seam, on the CPU."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.device import usable_cores
from edgesr.engines.base import Buffer, TensorSpec
from edgesr.engines.checks import check_tensors
from edgesr.engines.openvino_graph import read_network, specs_of
from edgesr.engines.openvino_profile import KernelTimes
from edgesr.engines.ort_buffers import HostBuffer
from edgesr.errors import BackendError, EdgesrError, ModelError, OutOfMemoryError

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
"""edgesr's names of the precisions of the kernels, and OpenVINO's."""
_TELEMETRY = "openvino_telemetry"
_OUT_OF_MEMORY = ("bad_alloc", "not enough memory", "out of memory", "cannot allocate")
_REQUESTS_KEPT = 16
_SHAPES_KEPT = 4


class OpenVinoBackend:
    """OpenVINO on the CPU.

    ``precision`` is that of the kernels: ``"fp32"``, or ``"bf16"`` where the processor has units for it; OpenVINO's own
    default is the fastest and differs between processors. ``threads`` is the number of CPU threads inside one run, all
    usable cores when None and never more. ``profile`` is a folder into which each engine writes the times of its
    kernels, as JSON in the form of ONNX Runtime's, when it is closed.
    """

    def __init__(self, *, threads: int | None = None, precision: str = "fp32", profile: Path | None = None) -> None:
        if precision not in PRECISIONS:
            raise BackendError(f"OpenVINO has no precision {precision!r} here; use {' or '.join(PRECISIONS)}")
        if threads is not None and threads < 1:
            raise BackendError(f"threads must be at least 1, got {threads}")
        self._openvino = _import_openvino()
        self._core = self._openvino.Core()
        self._precision = precision
        if precision != "fp32":
            able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if precision.upper() not in able:
                raise BackendError(
                    f"precision {precision} needs a processor with units for it; OpenVINO finds {', '.join(able)} on "
                    f"{self._core.get_property('CPU', 'FULL_DEVICE_NAME').strip()}; use fp32"
                )
        self._options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(min(threads or usable_cores(), usable_cores())),
            # Pinned threads of two processes would share cores while others idle.
            "ENABLE_CPU_PINNING": "NO",
            "PERF_COUNT": "NO" if profile is None else "YES",
        }
        self._profile = profile

    @property
    def name(self) -> str:
        """``openvino:cpu``, with the precision where it is not FP32."""
        return "openvino:cpu" + ("" if self._precision == "fp32" else f":{self._precision}")

    @property
    def is_asynchronous(self) -> bool:
        """False: a run has ended when it returns."""
        return False

    def load(self, path: Path) -> OpenVinoEngine:
        """Open an ONNX file; external data is read from the file's own folder."""
        try:
            model = read_network(self._openvino, path)
            profile = None if self._profile is None else KernelTimes(self._profile / f"{path.stem}.json")
            return OpenVinoEngine(self._core, model, self._options, path.name, profile)
        except EdgesrError:
            raise
        except Exception as error:
            raise _translate(error, f"cannot load {path.name} in OpenVINO", ModelError) from None

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate host memory."""
        try:
            return HostBuffer(np.empty(shape, dtype))
        except MemoryError:
            raise OutOfMemoryError(f"no memory for a buffer of shape {shape}, {dtype}") from None

    def synchronize(self) -> None:
        """Return at once: OpenVINO's runs have ended when they return."""

    def close(self) -> None:
        """Free nothing: engines and buffers own what there is."""


class OpenVinoEngine:
    """One network, compiled for any shape, and once more for each shape that comes again.

    Kernels for one shape take up to half the time of those for any shape (docs/benchmarks.md) and are worth compiling
    only where they run more than once.
    """

    def __init__(
        self, core: Any, model: Any, options: Mapping[str, str], file_name: str, profile: KernelTimes | None = None
    ) -> None:
        self._core = core
        self._model: Any = model
        self._options = dict(options)
        self._file_name = file_name
        self._profile = profile
        self._inputs, self._outputs = specs_of(model, file_name)
        self._is_static = not any(-1 in spec.shape for spec in self._inputs.values())
        self._any_shape = self._compile(model)
        self._fixed: OrderedDict[Any, Any] = OrderedDict()
        self._seen: Counter[Any] = Counter()
        self._requests: OrderedDict[tuple[Any, ...], tuple[Any, tuple[Buffer, ...]]] = OrderedDict()

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name."""
        return self._outputs

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        """Run once; see Engine.run."""
        if self._model is None:
            raise BackendError(f"{self._file_name} is closed")
        check_tensors("input", inputs, self._inputs, complete=True)
        if outputs is not None:
            check_tensors("output", outputs, self._outputs, complete=False)
        try:
            request = self._request(inputs, outputs or {})
            request.infer(share_outputs=True)
            if self._profile is not None:
                self._profile.add(request.get_profiling_info())
            if outputs is None:
                names = enumerate(self._outputs)
                return {name: HostBuffer(np.array(request.get_output_tensor(i).data)) for i, name in names}
            found = {name: tuple(request.get_output_tensor(self._place(name)).shape) for name in outputs}
        except Exception as error:
            shapes = ", ".join(f"{name} {buffer.shape}" for name, buffer in inputs.items())
            raise _translate(error, f"{self._file_name} failed on {shapes}", BackendError) from None
        for name, shape in found.items():
            if shape != outputs[name].shape:
                raise BackendError(f"output {name!r} came out as {shape}, its buffer has {outputs[name].shape}")
        return outputs

    def release_memory(self) -> None:
        """Give back what runs have allocated; the next one allocates it again."""
        self._requests.clear()
        for compiled in (self._any_shape, *self._fixed.values()):
            compiled.release_memory()

    def close(self) -> None:
        """Free the compiled networks, and write the profile where one was asked for."""
        if self._profile is not None and self._model is not None:
            self._profile.write()
        self._requests.clear()
        self._fixed.clear()
        self._any_shape = self._model = None

    def _place(self, name: str) -> int:
        return list(self._outputs).index(name)

    def _compile(self, model: Any) -> Any:
        compiled = self._core.compile_model(model, "CPU", self._options)
        wanted = self._options["INFERENCE_PRECISION_HINT"]
        if (taken := compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) != wanted:
            raise BackendError(f"{self._file_name}: OpenVINO was asked for {wanted} and took {taken}")
        return compiled

    def _compiled(self, inputs: Mapping[str, Buffer]) -> tuple[Any, Any]:
        """Return the network for these inputs and what identifies it."""
        shape = None if self._is_static else tuple(inputs[name].shape for name in self._inputs)
        if shape in self._fixed:
            self._fixed.move_to_end(shape)
            return self._fixed[shape], shape
        self._seen[shape] += 1
        if self._is_static or self._seen[shape] < 2:
            return self._any_shape, None
        model = self._model.clone()
        model.reshape(dict(enumerate(map(list, shape or ()))))
        self._fixed[shape] = self._compile(model)
        # What the run for any shape allocated would stay beside what the one for this shape needs: twice the memory.
        self._requests = OrderedDict((k, v) for k, v in self._requests.items() if k[0] is not None)
        self._any_shape.release_memory()
        if len(self._fixed) > _SHAPES_KEPT:
            dropped, _ = self._fixed.popitem(last=False)
            del self._seen[dropped]
            self._requests = OrderedDict((k, v) for k, v in self._requests.items() if k[0] != dropped)
        return self._fixed[shape], shape

    def _request(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Any:
        compiled, form = self._compiled(inputs)
        sides = (inputs, outputs)
        key = (form, *((name, it.ptr, it.shape) for side in sides for name, it in side.items()))
        if key in self._requests:
            self._requests.move_to_end(key)
            return self._requests[key][0]
        request = compiled.create_infer_request()
        tensor = self._openvino_tensor
        for place, name in enumerate(self._inputs):
            request.set_input_tensor(place, tensor(inputs[name]))
        for name, buffer in outputs.items():
            request.set_output_tensor(self._place(name), tensor(buffer))
        # The buffers stay referenced, so that their addresses cannot be given to others while the key lives.
        self._requests[key] = (request, (*inputs.values(), *outputs.values()))
        if len(self._requests) > _REQUESTS_KEPT:
            self._requests.popitem(last=False)
        return request

    @staticmethod
    def _openvino_tensor(buffer: Buffer) -> Any:
        return _import_openvino().Tensor(buffer.numpy(), shared_memory=True)


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which its model converter would otherwise load and ask consent for."""
    absent = object()
    before = sys.modules.get(_TELEMETRY, absent)
    if "openvino" not in sys.modules and before is absent:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        why = "is not installed" if getattr(error, "name", "") == "openvino" else f"cannot be imported: {error}"
        raise BackendError(f"device 'openvino' needs OpenVINO, which {why}; pip install 'edgesr[openvino]'") from None
    finally:
        if before is absent and sys.modules.get(_TELEMETRY, absent) is None:
            del sys.modules[_TELEMETRY]
    return openvino


def _translate(error: Exception, what: str, kind: type[EdgesrError]) -> EdgesrError:
    """Return the error with the last line that OpenVINO wrote; the ones before say where in its source it stands."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))] or lines
    text = (told or [type(error).__name__])[-1][:300]
    if isinstance(error, MemoryError) or any(mark in str(error).lower() for mark in _OUT_OF_MEMORY):
        return OutOfMemoryError(f"{what}: out of memory; use a smaller --tile")
    return kind(f"{what}: {text}")
