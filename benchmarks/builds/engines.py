"""Engines of one network on a GPU: their build, and their time with and without CUDA graph and transfers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.builds.kernels import kernel_times
from edgesr.compile.build_process import build_in_process
from edgesr.compile.exchange import BuildRequest
from edgesr.compile.inspection import inspect_loaded
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.compile.shapes import fixed
from edgesr.compile.typed import Typed
from edgesr.engines.base import Buffer
from edgesr.engines.trt import TrtBackend
from edgesr.errors import EdgesrError

Open = Callable[[bool], TrtBackend]
"""Open the backend, with CUDA graphs or without."""
Build = Callable[[BuildRequest], BuiltPlan]
Feed = Mapping[str, np.ndarray[Any, Any]]
WARMUP = 5


@dataclass(frozen=True)
class EngineTimes:
    """One engine for one size of picture; all times in milliseconds."""

    network: str
    precision: str
    shape: str
    tensorrt: str
    gpu: str
    build_seconds: float
    bytes: int
    layers: dict[str, int]
    """By the narrowest type of their inputs and outputs."""
    plain: list[float]
    """One enqueue, between two events on the stream."""
    graph: list[float]
    """The same, replayed as a CUDA graph; empty where it could not be captured."""
    with_transfers: list[float]
    """Host to device, a graph or an enqueue, device to host, on the host's clock."""
    kernels: list[float]
    """Sum of the times that TensorRT reports for each layer."""
    graph_refusal: str = ""
    note: str = ""
    """Why there is no engine."""
    output: dict[str, float] = field(default_factory=dict)
    """Largest difference of each output from ONNX Runtime's FP32 on the same feed, relative to its largest value."""


def measure_engine(
    name: str,
    typed: Typed,
    feed: Feed,
    expected: Feed,
    open_backend: Open,
    *,
    rounds: int,
    build: Build = build_in_process,
) -> EngineTimes:
    """Build a network in its precision and time it; a failure is a note, not the end of the benchmark."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as folder:
            place = Path(folder)
            return _measured(
                name, typed, feed, expected, open_backend=open_backend, folder=place, rounds=rounds, build=build
            )
    except EdgesrError as error:
        return EngineTimes(name, typed.precision, _shapes(feed), "", "", 0.0, 0, {}, [], [], [], [], note=str(error))


def _measured(
    name: str,
    typed: Typed,
    feed: Feed,
    expected: Feed,
    *,
    open_backend: Open,
    folder: Path,
    rounds: int,
    build: Build,
) -> EngineTimes:
    onnx, path = folder / "network.onnx", folder / "network.engine"
    onnx.write_bytes(typed.graph.bytes())
    profile = fixed({key: value.shape for key, value in feed.items() if -1 in typed.graph.shapes.get(key, (-1,))})
    start = perf_counter()
    with _opened(open_backend, graphs=False) as backend:
        built = build(BuildRequest(onnx, BuildOptions(profile), backend.device.index))
        seconds = perf_counter() - start
        path.write_bytes(built.plan)
        precision = inspect_loaded(backend.tensorrt, path).get("precision", {})
        plain = _event_times(backend, path, feed, rounds)[0]
        kernels = kernel_times(backend, path, feed, rounds)
        version, gpu = backend.tensorrt.version_text, backend.device.name
    with _opened(open_backend, graphs=True) as backend:
        graph, refusal, found = _event_times(backend, path, feed, rounds)
        transfers = _host_times(backend, path, feed, rounds)
    return EngineTimes(
        name,
        typed.precision,
        _shapes(feed),
        version,
        gpu,
        seconds,
        len(built.plan),
        {kind: count for kind, count in precision.items() if count},
        plain,
        [] if refusal else graph,
        transfers,
        kernels,
        refusal,
        output={key: _difference(found[key], value) for key, value in expected.items() if key in found},
    )


def _shapes(feed: Feed) -> str:
    return ", ".join(f"{name}:{'x'.join(map(str, value.shape))}" for name, value in feed.items() if value.ndim > 2)


@contextmanager
def _opened(open_backend: Open, *, graphs: bool) -> Iterator[TrtBackend]:
    backend = open_backend(graphs)
    try:
        yield backend
    finally:
        backend.close()


def _event_times(
    backend: TrtBackend, path: Path, feed: Feed, rounds: int
) -> tuple[list[float], str, dict[str, np.ndarray[Any, Any]]]:
    """Return the times of runs between events, why they were no graphs, and the outputs of the last run."""
    engine = backend.load(path)
    try:
        inputs = _inputs(backend, engine.inputs, feed)
        outputs = _outputs(backend, engine, inputs)
        for _ in range(WARMUP):
            engine.run(inputs, outputs)
        times = []
        for _ in range(rounds):
            start = backend.stream.record(timing=True)
            engine.run(inputs, outputs)
            end = backend.stream.record(timing=True)
            end.synchronize()
            times.append(end - start)
        return times, engine.graph_refusal or "", {name: np.array(buffer.numpy()) for name, buffer in outputs.items()}
    finally:
        engine.close()


def _host_times(backend: TrtBackend, path: Path, feed: Feed, rounds: int) -> list[float]:
    engine = backend.load(path)
    try:
        inputs = _inputs(backend, engine.inputs, feed)
        outputs = _outputs(backend, engine, inputs)
        times = []
        for index in range(-WARMUP, rounds):
            start = perf_counter()
            for name, buffer in inputs.items():
                buffer.copy_from(_as(feed[name], buffer.dtype))
            engine.run(inputs, outputs)
            for buffer in outputs.values():
                buffer.numpy()
            if index >= 0:
                times.append((perf_counter() - start) * 1e3)
        return times
    finally:
        engine.close()


def _inputs(backend: TrtBackend, specs: Mapping[str, Any], feed: Feed) -> dict[str, Buffer]:
    buffers = {}
    for name, spec in specs.items():
        array = _as(feed[name], spec.dtype)
        buffers[name] = backend.empty(array.shape, array.dtype)
        buffers[name].copy_from(array)
    return buffers


def _outputs(backend: TrtBackend, engine: Any, inputs: Mapping[str, Buffer]) -> dict[str, Buffer]:
    """Run once to learn the shapes and give every output a buffer of its own: graphs need constant addresses."""
    found = engine.run(inputs)
    return {name: backend.empty(buffer.shape, buffer.dtype) for name, buffer in found.items()}


def _as(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array.astype(dtype, copy=False))


def _difference(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    peak = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
    return float(np.abs(found.astype(np.float64) - expected).max(initial=0.0)) / peak
