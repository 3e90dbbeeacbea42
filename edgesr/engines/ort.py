"""ONNX Runtime behind the seam, on the CPU or through its CUDA provider."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.device import usable_cores
from edgesr.engines.base import Buffer, TensorSpec
from edgesr.engines.checks import check_tensors
from edgesr.engines.messages import explain
from edgesr.engines.ort_buffers import HostBuffer, OrtValueBuffer
from edgesr.errors import BackendError, EdgesrError, ModelError, OutOfMemoryError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_SOURCE_PLACE = re.compile(r"/\S+\.(?:cc|h):\d+ .*?\)\s+(?=\S)")
"""The line and function of ONNX Runtime's own source, which stand before what it has to say."""
_OUT_OF_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",
    "out of memory",
    "cuda_error_out_of_memory",
)
_BINDINGS_KEPT = 16


class OrtBackend:
    """ONNX Runtime on one device.

    ``device`` is ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; ``threads`` is the number of CPU threads inside one run, all
    usable cores when None and never more, because threads that share a core wait for each other. ``providers``
    replaces the execution providers that ``device`` implies, by ONNX Runtime's names. ``profile`` is a folder into
    which each engine writes the times of its operators, as JSON, when it is closed.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        providers: list[str] | None = None,
        profile: Path | None = None,
    ) -> None:
        onnxruntime = _import_onnxruntime()
        kind, _, index = device.partition(":")
        if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
            raise BackendError(f"ONNX Runtime has no device {device!r}; use cpu, cuda or cuda:N")
        if threads is not None and threads < 1:
            raise BackendError(f"threads must be at least 1, got {threads}")
        self._ort = onnxruntime
        self._profile = profile
        self._device_kind = kind
        self._device_id = int(index or 0)
        self._threads = min(threads or usable_cores(), usable_cores())
        self._providers: list[Any] = list(providers or ["CPUExecutionProvider"])
        if kind == "cuda" and providers is None:
            self._providers = [("CUDAExecutionProvider", {"device_id": self._device_id}), "CPUExecutionProvider"]
        offered = set(onnxruntime.get_available_providers())
        for provider in self._providers:
            provider_name = provider if isinstance(provider, str) else provider[0]
            if provider_name not in offered:
                remedy = "; install onnxruntime-gpu in place of onnxruntime" if kind == "cuda" else ""
                raise BackendError(
                    f"device {device!r} needs ONNX Runtime's {provider_name}, which this build "
                    f"({onnxruntime.__version__}) lacks: it offers {', '.join(sorted(offered))}{remedy}"
                )
        if kind == "cuda":
            if hasattr(onnxruntime, "preload_dlls"):
                # CUDA and cuDNN from NVIDIA's wheels are found only when loaded beforehand.
                onnxruntime.preload_dlls()
            self.empty((1,), np.dtype(np.float32))

    @property
    def name(self) -> str:
        """``onnxruntime:cpu`` or ``onnxruntime:cuda:N``."""
        return f"onnxruntime:{self._device_kind}" + (f":{self._device_id}" if self._device_kind == "cuda" else "")

    @property
    def is_asynchronous(self) -> bool:
        """False: a run has ended when it returns."""
        return False

    def load(self, path: Path) -> OrtEngine:
        """Open an ONNX file; external data is read from the file's own folder."""
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # A pattern is allocated beside the arena that the first run of its shape has filled: twice the memory, and no
        # run is faster for it.
        options.enable_mem_pattern = self._device_kind != "cpu"
        # By default threads wait for the next run at full speed for some 25 ms, and take the cores from whatever
        # computes meanwhile: the next network of a package, numpy, another runtime.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if self._profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(self._profile / path.stem)
        try:
            session = self._session(path, options)
        except Exception as error:
            raise _translate(error, f"cannot load {path.name}", ModelError) from None
        if self._device_kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise BackendError(f"cannot run {path.name} on CUDA: the provider failed to start; see `edgesr doctor`")
        is_profiled = self._profile is not None
        return OrtEngine(session, self._device_kind, self._device_id, path.name, is_profiled=is_profiled)

    def _session(self, path: Path, options: Any) -> Any:
        """Open a session; without the fusion of attention where it takes FP16 for FP32, as in FastViT, and fails."""
        make = self._ort.InferenceSession
        try:
            return make(os.fspath(path), options, providers=self._providers)
        except Exception as error:
            if "Tensor type mismatch" not in str(error):
                raise
            return make(os.fspath(path), options, providers=self._providers, disabled_optimizers=["AttentionFusion"])

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate host memory, or device memory on CUDA."""
        try:
            if self._device_kind == "cpu":
                return HostBuffer(np.empty(shape, dtype))
            value = self._ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, "cuda", self._device_id)
        except MemoryError:
            raise OutOfMemoryError(f"no memory for a buffer of shape {shape}, {dtype}") from None
        except Exception as error:
            raise _translate(error, f"cannot allocate {shape} {dtype} on {self.name}", BackendError) from None
        return OrtValueBuffer(value, np.dtype(dtype))

    def synchronize(self) -> None:
        """Return at once: ONNX Runtime's runs have ended when they return."""

    def close(self) -> None:
        """Free nothing: engines and buffers own what there is."""


class OrtEngine:
    """One ONNX Runtime session whose bindings are made once per set of buffers."""

    def __init__(
        self, session: Any, device_kind: str, device_id: int, file_name: str, *, is_profiled: bool = False
    ) -> None:
        self._session = session
        self._is_profiled = is_profiled
        self._device = (device_kind, device_id)
        self._file_name = file_name
        self._bindings: OrderedDict[tuple[Any, ...], tuple[Any, tuple[Buffer, ...]]] = OrderedDict()
        self._inputs = {spec.name: spec for spec in map(self._spec, session.get_inputs())}
        self._outputs = {spec.name: spec for spec in map(self._spec, session.get_outputs())}

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
        if self._session is None:
            raise BackendError(f"{self._file_name} is closed")
        check_tensors("input", inputs, self._inputs, complete=True)
        if outputs is None:
            return self._run_unbound(inputs)
        check_tensors("output", outputs, self._outputs, complete=False)
        binding = self._binding(inputs, outputs)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise self._run_error(error, inputs) from None
        return outputs

    def close(self) -> None:
        """Free the session."""
        self._bindings.clear()
        if self._is_profiled and self._session is not None:
            self._session.end_profiling()
        self._session = None

    def _run_unbound(self, inputs: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        feeds = {name: np.ascontiguousarray(buffer.numpy()) for name, buffer in inputs.items()}
        try:
            results = self._session.run(None, feeds)
        except Exception as error:
            raise self._run_error(error, inputs) from None
        return {name: HostBuffer(result) for name, result in zip(self._outputs, results, strict=True)}

    def _binding(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Any:
        key = tuple((name, buffer.ptr, buffer.shape) for side in (inputs, outputs) for name, buffer in side.items())
        if key in self._bindings:
            self._bindings.move_to_end(key)
            return self._bindings[key][0]
        binding = self._session.io_binding()
        kind, index = self._device
        for name, buffer in inputs.items():
            binding.bind_input(name, kind, index, buffer.dtype.type, buffer.shape, buffer.ptr)
        for name, buffer in outputs.items():
            binding.bind_output(name, kind, index, buffer.dtype.type, buffer.shape, buffer.ptr)
        # The buffers stay referenced, so that their addresses cannot be given to others while the key lives.
        self._bindings[key] = (binding, (*inputs.values(), *outputs.values()))
        if len(self._bindings) > _BINDINGS_KEPT:
            self._bindings.popitem(last=False)
        return binding

    def _run_error(self, error: Exception, inputs: Mapping[str, Buffer]) -> EdgesrError:
        shapes = ", ".join(f"{name} {buffer.shape}" for name, buffer in inputs.items())
        return _translate(error, f"{self._file_name} failed on {shapes}", BackendError)

    def _spec(self, node: Any) -> TensorSpec:
        if node.type not in _DTYPES:
            raise ModelError(f"{self._file_name}: tensor {node.name!r} has type {node.type}, which edgesr cannot pass")
        shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
        return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))


def _import_onnxruntime() -> Any:
    """Import ONNX Runtime without its telemetry: newer wheels report their use over the network unless told not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _translate(error: Exception, what: str, kind: type[EdgesrError]) -> EdgesrError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = _SOURCE_PLACE.sub(" ", lines[0])[:300]
    if isinstance(error, MemoryError) or any(mark in str(error).lower() for mark in _OUT_OF_MEMORY):
        return OutOfMemoryError(f"{what}: out of memory; use a smaller --tile")
    return kind(f"{what}: {explain(text)}")
