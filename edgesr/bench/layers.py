"""Time of every layer by the runtime's own profiler, and how near the network comes to what the machine can do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesr.bench.engine_layers import engine_layers
from edgesr.bench.peaks import Peaks, measure_peaks
from edgesr.bench.record import Row
from edgesr.bench.subject import Subject
from edgesr.bench.watched import Open, WatchedBackend, WatchedEngine, part_names, reopened
from edgesr.compile.fastest import FastestCpu
from edgesr.compile.graph import Graph
from edgesr.compile.operations import Operations, count_operations
from edgesr.compile.runtime_trial import SECOND
from edgesr.device import usable_cores
from edgesr.engines.base import Backend
from edgesr.engines.openvino import OpenVinoBackend
from edgesr.engines.ort import OrtBackend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError
from edgesr.pipelines.chain import Chain
from edgesr.types import Array

ROUNDS = 5
_KERNEL, _RUN = "_kernel_time", "model_run"


def measure_layers(subject: Subject, picture: Array, row: Row) -> dict[str, Any]:
    """Return ``layers`` and ``roofline`` of a row; where a model has several networks, layers are called by theirs."""
    # The stages of a chain tell its second network alone.
    stage = row.stages.get("end_to_end" if isinstance(subject.pipeline, Chain) else "compute")
    compute = stage.summary.median if stage is not None else None
    is_engine = isinstance(subject.backend, TrtBackend)
    # An engine is profiled by itself; the processor runs one picture for its shapes.
    pictures = 1 if is_engine else ROUNDS + 1
    with tempfile.TemporaryDirectory(prefix="edgesr-") as name:
        watched = WatchedBackend(*_profiled(subject), Path(name))
        with reopened(subject, watched) as pipeline:
            for _ in range(pictures):
                pipeline(picture)
        networks = [network for network in watched.networks if network.runs]
        names = part_names(subject.pipeline)
        if is_engine:
            layers = engine_layers(subject, picture, ROUNDS)
        else:
            layers = [layer for network in networks for layer in _layers(network, names, is_only=len(networks) == 1)]
    return {"layers": _sorted(layers), "roofline": _roofline(subject, networks, pictures, compute)}


def _profiled(subject: Subject) -> tuple[Backend, Open]:
    """Return a backend for buffers, and what opens the runtime that was timed on a network once more, profiling it."""
    name, threads, taken = subject.backend.name, subject.spec.threads, subject.runtimes
    device = name.removeprefix("onnxruntime:") if name.startswith("onnxruntime:cuda") else "cpu"
    precision = name.removeprefix("openvino:cpu").removeprefix(":") or "fp32"

    def open_profiled(path: Path, folder: Path) -> Backend:
        if name.startswith("openvino"):
            return OpenVinoBackend(threads=threads, precision=precision, profile=folder)
        if taken.get(path) == SECOND:
            return OpenVinoBackend(threads=threads, profile=folder)
        return OrtBackend(device, threads=threads, profile=folder)

    return OrtBackend(device, threads=threads), open_profiled


def _layers(network: WatchedEngine, names: Mapping[Path, str], *, is_only: bool) -> list[dict[str, Any]]:
    prefix = "" if is_only else f"{names.get(network.path, 'step')}: "
    found = [layer for file in sorted(network.profile.glob("*.json")) for layer in read_profile(file, ROUNDS + 1)]
    return [{**layer, "name": f"{prefix}{layer['name']}"} for layer in found]


def read_profile(path: Path, pictures: int) -> list[dict[str, Any]]:
    """Return the operators in the profile of so many equal pictures, milliseconds for each picture but the first."""
    try:
        events = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"the profile of the runtime cannot be read: {error}") from None
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


def _sorted(layers: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    total = sum(layer["ms"] for layer in layers) or 1.0
    ordered = sorted(layers, key=lambda layer: -float(layer["ms"]))
    return tuple({**layer, "share": layer["ms"] / total} for layer in ordered)


def _roofline(
    subject: Subject, networks: Sequence[WatchedEngine], pictures: int, compute_ms: float | None
) -> dict[str, Any]:
    """Count one picture and set it against this machine's peaks."""
    counted = [
        (count_operations(Graph.read(network.path), dict(shapes)), count // pictures)
        for network in networks
        for shapes, count in network.runs.items()
    ]
    runs = sum(count for _, count in counted)
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
    if isinstance(subject.pipeline, Chain):
        found["set_against"] = "the time end to end, of both networks and all between them"
    if compute_ms:
        found["operations_per_second"] = operations / compute_ms * 1e3
    if isinstance(subject.backend, TrtBackend):
        return {**found, "missing": "peaks are measured on the runtimes of the CPU and of ONNX Runtime"}
    threads = min(subject.spec.threads or usable_cores(), usable_cores())
    backend = subject.backend
    if isinstance(backend, FastestCpu):
        found["layers_by"] = f"the runtimes that were timed; {'; '.join(backend.picked)}"
        only_openvino = set(subject.runtimes.values()) == {SECOND}
        backend = OpenVinoBackend(threads=threads) if only_openvino else OrtBackend("cpu", threads=threads)
    peaks = measure_peaks(backend, threads)
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
