"""Time of every layer by the runtime's own profiler, and how near the network comes to what the machine can do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesr.bench.peaks import Peaks, measure_peaks
from edgesr.bench.record import Row
from edgesr.bench.subject import Subject
from edgesr.compile.feeds import Feed, FeedRecorder
from edgesr.compile.graph import Graph
from edgesr.compile.operations import Operations, count_operations
from edgesr.device import usable_cores
from edgesr.engines.base import Backend
from edgesr.engines.ort import OrtBackend
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_profile import layer_times
from edgesr.errors import BackendError, ModelError
from edgesr.model.rules import NETWORK
from edgesr.pipelines.restore import Restorer
from edgesr.types import Array

ROUNDS = 5
_KERNEL, _RUN = "_kernel_time", "model_run"


def measure_layers(subject: Subject, picture: Array, row: Row) -> dict[str, Any]:
    """Return ``layers`` and ``roofline`` of a row; raise ModelError for a model without a network of its own."""
    pipeline = subject.pipeline
    if not isinstance(pipeline, Restorer):
        raise ModelError(f"layers are listed for restoration models, {subject.spec.model} has task {subject.task}")
    if isinstance(subject.backend, TrtBackend):
        layers = _of_tensorrt(subject.backend)
    else:
        layers = _of_onnxruntime(subject, picture)
    compute = row.stages["compute"].summary.median if "compute" in row.stages else None
    return {"layers": _sorted(layers), "roofline": _roofline(subject, picture, compute)}


def read_profile(path: Path, pictures: int) -> list[dict[str, Any]]:
    """Return the operators of ONNX Runtime's profile of so many equal pictures, milliseconds for each but the first."""
    try:
        events = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"ONNX Runtime's profile cannot be read: {error}") from None
    names = [str(event.get("name", "")) for event in events]
    skipped, run = names.count(_RUN) // pictures, 0
    found: dict[str, dict[str, Any]] = {}
    for event, name in zip(events, names, strict=True):
        run += name == _RUN
        if run >= skipped and event.get("cat") == "Node" and name.endswith(_KERNEL):
            kind = str(event.get("args", {}).get("op_name", ""))
            layer = found.setdefault(name, {"name": name.removesuffix(_KERNEL), "type": kind, "ms": 0.0})
            layer["ms"] += float(event.get("dur", 0)) / 1e3 / (pictures - 1)
    return list(found.values())


def _of_onnxruntime(subject: Subject, picture: Array) -> list[dict[str, Any]]:
    """Run the picture on an engine that is profiled."""
    name = subject.backend.name
    if name not in ("onnxruntime:cpu", "auto:cpu") and not name.startswith("onnxruntime:cuda"):
        raise BackendError(f"layers are told by ONNX Runtime and TensorRT, not by {name}; choose one with --device")
    device = name.removeprefix("onnxruntime:").replace("auto:", "")
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        backend = OrtBackend(device, threads=subject.spec.threads, profile=Path(folder))
        with _again(subject, backend) as pipeline:
            for _ in range(ROUNDS + 1):
                pipeline(picture)
        return [layer for file in sorted(Path(folder).glob("*.json")) for layer in read_profile(file, ROUNDS + 1)]


def _of_tensorrt(backend: TrtBackend) -> list[dict[str, Any]]:
    engines = backend.engines
    if not engines:
        raise BackendError("no engine is loaded")
    times = layer_times(backend, engines[0], ROUNDS)
    return [{"name": name, "type": "", "ms": ms} for name, ms in times.items()]


def _sorted(layers: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    total = sum(layer["ms"] for layer in layers) or 1.0
    ordered = sorted(layers, key=lambda layer: -float(layer["ms"]))
    return tuple({**layer, "share": layer["ms"] / total} for layer in ordered)


def _again(subject: Subject, backend: Backend) -> Restorer:
    """Load the model once more, on another backend."""
    pipeline = subject.pipeline
    assert isinstance(pipeline, Restorer)
    return Restorer(pipeline.package, backend, tile=subject.spec.tile, **subject.spec.controls)


def _roofline(subject: Subject, picture: Array, compute_ms: float | None) -> dict[str, Any]:
    """Count one picture and set it against this machine's peaks."""
    counted, runs = _count(subject, picture)
    operations = sum(one.total * times for one, times in counted)
    least = sum(one.least_bytes * times for one, times in counted)
    unfused = sum(one.bytes * times for one, times in counted)
    found: dict[str, Any] = {
        "operations": operations,
        "bytes_least": least,
        "bytes_unfused": unfused,
        "runs_per_picture": runs,
        "not_counted": sorted({name for one, _ in counted for name in one.unknown}),
    }
    if compute_ms:
        found["operations_per_second"] = operations / compute_ms * 1e3
    if isinstance(subject.backend, TrtBackend):
        return {**found, "missing": "peaks are measured on the runtimes of the CPU and of ONNX Runtime"}
    peaks = measure_peaks(subject.backend, min(subject.spec.threads or usable_cores(), usable_cores()))
    return {**found, **set_against(counted, peaks, compute_ms)}


def set_against(counted: list[tuple[Operations, int]], peaks: Peaks, compute_ms: float | None) -> dict[str, Any]:
    """Return the peaks and the fractions reached, of the whole network and operator by operator.

    ``bound_ms`` is the least time that operations and least bytes allow; ``bound_unfused_ms`` adds up that of every
    operator by itself, which reads and writes all of its tensors.
    """
    operations = sum(one.total * times for one, times in counted)
    least = sum(one.least_bytes * times for one, times in counted)
    whole = max(operations / peaks.operations, least / peaks.bandwidth) * 1e3
    single = 1e3 * sum(
        max(node.operations / peaks.operations, node.bytes / peaks.bandwidth) * times
        for one, times in counted
        for node in one.nodes
    )
    is_bound = operations / peaks.operations >= least / peaks.bandwidth
    found = {
        "peak": asdict(peaks),
        "intensity": operations / least if least else None,
        "limit": "computing" if is_bound else "memory",
        "bound_ms": whole,
        "bound_unfused_ms": single,
    }
    if compute_ms:
        found |= {"fraction": whole / compute_ms, "fraction_unfused": single / compute_ms}
    return found


def _count(subject: Subject, picture: Array) -> tuple[list[tuple[Operations, int]], int]:
    """Count the runs of one picture, by the shapes that the network is really given."""
    recorder = FeedRecorder(OrtBackend("cpu", threads=subject.spec.threads))
    with _again(subject, recorder) as pipeline:
        pipeline(picture)
        package = pipeline.package
    graph = Graph.read(package.part_path(NETWORK))
    times: dict[tuple[tuple[str, tuple[int, ...]], ...], int] = {}
    for feed in recorder.feeds:
        times[_shapes(feed)] = times.get(_shapes(feed), 0) + 1
    return [(count_operations(graph, dict(shapes)), count) for shapes, count in times.items()], len(recorder.feeds)


def _shapes(feed: Feed | Mapping[str, Array]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((name, tuple(array.shape)) for name, array in feed.items()))
