"""TensorRT behind the seam: engines built beforehand, run on one CUDA stream."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.engines.base import Buffer
from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import Copies, DeviceBuffer, ForeignBuffer, MappedBuffer
from edgesr.engines.cuda_probe import Allocate, is_mapped_faster
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.messages import explain
from edgesr.engines.plan import read_plan_header, recorded_core
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_engine import TrtEngine
from edgesr.engines.trt_memory import ActivationMemory
from edgesr.errors import BackendError, ModelError, StaleEngineError


class TrtBackend:
    """TensorRT on one GPU, ``"tensorrt"`` or ``"tensorrt:N"``, with engines that share one stream.

    ``stream`` is a foreign stream to work on in place of an own one: an integer handle, or an object of pycuda, CuPy
    or PyTorch; its owner keeps it alive. ``graphs`` lets repeated runs be replayed as CUDA graphs. ``is_mapped`` puts
    buffers into host memory that the GPU reads in place, worth it where both share one memory; None tries both with
    the first engine. With ``overlap`` copies to and from a buffer wait for the last run with this buffer alone, not
    for runs with others: give kernels of your own other buffers then. ``host_code`` allows version-compatible engines,
    which bring code that runs on the CPU: allow it for files that you trust.
    """

    def __init__(
        self,
        device: str = "tensorrt",
        *,
        tensorrt: TensorRt | None = None,
        cuda: CudaRuntime | None = None,
        stream: Any = None,
        graphs: bool = True,
        is_mapped: bool | None = False,
        overlap: bool = False,
        host_code: bool = False,
    ) -> None:
        kind, _, index = device.partition(":")
        if kind != "tensorrt" or (index and not index.isdigit()):
            raise BackendError(f"TensorRT has no device {device!r}; use tensorrt or tensorrt:N")
        self._api = tensorrt or TensorRt.load()
        self._cuda = cuda or CudaRuntime.load()
        self._device = Device(self._cuda, int(index or 0))
        self._device.activate()
        self._stream = (
            Stream(self._cuda, self._device) if stream is None else Stream.from_handle(self._cuda, stream, self._device)
        )
        self._host_code = host_code
        # By the core of the accelerator, None for engines of the GPU; an engine needs its runtime as long as it lives.
        self._runtimes: dict[int | None, Any] = {None: self._api.runtime(host_code=host_code)}
        self._graphs = graphs
        self._buffer_type: type[MappedBuffer] | type[DeviceBuffer] = MappedBuffer if is_mapped else DeviceBuffer
        self._is_memory_chosen = is_mapped is not None
        self._copies = Copies(Stream(self._cuda, self._device), Stream(self._cuda, self._device)) if overlap else None
        self._activations = ActivationMemory(self._cuda, self._stream)
        # One enqueue at a time: the engines share the stream and its activation memory.
        self._lock = threading.RLock()
        self._engines: weakref.WeakSet[TrtEngine] = weakref.WeakSet()

    @property
    def name(self) -> str:
        """``tensorrt:N``."""
        return f"tensorrt:{self._device.index}"

    @property
    def is_asynchronous(self) -> bool:
        """True: a run is enqueued when it returns."""
        return True

    @property
    def tensorrt(self) -> TensorRt:
        """The TensorRT module with its version and log."""
        return self._api

    @property
    def device(self) -> Device:
        """The GPU."""
        return self._device

    @property
    def stream(self) -> Stream:
        """The stream of all runs and copies."""
        return self._stream

    @property
    def version(self) -> tuple[int, ...]:
        """TensorRT's version."""
        return self._api.version

    @property
    def engines(self) -> tuple[TrtEngine, ...]:
        """The engines that were loaded and are still in use."""
        return tuple(self._engines)

    @property
    def memory(self) -> str:
        """Where buffers lie: ``mapped host memory``, which the GPU reads in place, or ``device memory``."""
        return "mapped host memory" if self._buffer_type is MappedBuffer else "device memory"

    def load(self, path: Path) -> TrtEngine:
        """Load a plan file that this TensorRT wrote on this kind of GPU."""
        self._require_open()
        header = read_plan_header(path)
        if not header.is_from(self._api.version) and not self._host_code:
            raise ModelError(
                f"{path.name} was built by TensorRT {header.version_text}, here is {self._api.version_text}; engines "
                "run with the version that built them: build it again with `edgesr build`"
            )
        with self._lock:
            self._device.activate()
            engine = self.deserialize(path)
            loaded = TrtEngine(
                self._api,
                engine,
                path=path,
                stream=self._stream,
                activations=self._activations,
                lock=self._lock,
                graphs=self._graphs,
            )
            self._engines.add(loaded)
            if not self._is_memory_chosen:
                self._is_memory_chosen = True
                self._buffer_type = self._faster_memory(loaded)
        return loaded

    def deserialize(self, path: Path) -> Any:
        """Return the ``trt.ICudaEngine`` of a plan file, to be used no longer than this backend.

        A plan for the accelerator goes to the core that the record beside it names.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read {path.name}: {error.strerror or error}") from None
        core = recorded_core(path)
        if core not in self._runtimes:
            self._runtimes[core] = self._api.runtime(host_code=self._host_code, dla_core=core)
        runtime = self._runtimes[core]
        with self._api.log.collect() as lines:
            engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            reason = explain(lines.reason())
            raise StaleEngineError(
                f"TensorRT {self._api.version_text} cannot load {path.name} ({len(content)} bytes): {reason}; "
                "it is damaged or of another GPU: build it again with `edgesr build`"
            )
        return engine

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate device memory, or mapped host memory, ordered on this backend's stream."""
        self._require_open()
        return self._buffer_type(self._cuda, self._stream, shape, dtype, self._copies)

    def foreign(self, array: Any) -> Buffer:
        """Take device memory of pycuda, CuPy, PyTorch, ... as a buffer, without a copy; see ForeignBuffer."""
        self._require_open()
        return ForeignBuffer(self._stream, array)

    def synchronize(self) -> None:
        """Wait until everything enqueued so far is done."""
        self._stream.synchronize()

    def close(self) -> None:
        """Wait for the runs, close the engines, then what they need; buffers can be freed but not used any more."""
        with self._lock:
            for loaded in list(self._engines):
                loaded.close()
            self._activations.close()
            self._runtimes.clear()
            for stream in (*(self._copies or ()), self._stream):
                stream.drain()
                stream.close()

    def _require_open(self) -> None:
        if not self._runtimes:
            raise BackendError("the TensorRT backend is closed; open a new one")

    def _faster_memory(self, loaded: TrtEngine) -> type[MappedBuffer] | type[DeviceBuffer]:
        try:
            return MappedBuffer if is_mapped_faster(self._stream, partial(_frames, loaded)) else DeviceBuffer
        except BackendError:
            # No room for the trial, or outputs of unknown size; the runs themselves will tell.
            return DeviceBuffer


def _frames(loaded: TrtEngine, allocate: Allocate) -> Callable[[], object]:
    """Return a function that copies zeros in, runs and copies the results out, in buffers that ``allocate`` makes.

    Inputs have the shapes that the engine was tuned for.
    """
    best = {name: shapes[1] for name, shapes in loaded.profiles[0].items()}
    arrays = {name: np.zeros(best.get(name, spec.shape), spec.dtype) for name, spec in loaded.inputs.items()}
    inputs = {name: allocate(array.shape, array.dtype) for name, array in arrays.items()}
    for name, array in arrays.items():
        inputs[name].copy_from(array)
    outputs = {name: allocate(buffer.shape, buffer.dtype) for name, buffer in loaded.run(inputs).items()}

    def frame() -> None:
        for name, array in arrays.items():
            inputs[name].copy_from(array)
        loaded.run(inputs, outputs)
        for buffer in outputs.values():
            buffer.numpy()

    return frame
