"""How large every tensor of a network gets on calibration pictures, recorded through ONNX Runtime and kept on disk."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgesr.compile.feeds import Feed, feeds_digest, run_network
from edgesr.compile.graph import DOUBLE, FLOAT, HALF, Graph, expose
from edgesr.compile.histogram import PERCENTILE, Histogram
from edgesr.compile.operations import with_shapes
from edgesr.engines import open_backend
from edgesr.errors import ModelError
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.types import Array

_FORMAT = 3
_BYTES = 256 << 20
"""Of the tensors recorded in one run, so that memory holds a part of a large network's activations at a time."""
_UNKNOWN = _BYTES // 64
"""Counted for a tensor whose shape is not known before it is run."""


@dataclass(frozen=True)
class TensorRange:
    """Magnitudes of one tensor over all calibration runs."""

    absmax: float
    elements: int
    """Of the largest run."""
    entropy: float
    """Threshold of the entropy calibrator; of tensors that INT8 does not meet, ``absmax``."""
    percentile: float
    """Threshold of the percentile calibrator, likewise."""

    def threshold(self, calibrator: str) -> float:
        """Return the magnitude at which ``minmax``, ``entropy`` or ``percentile`` clips."""
        return {"minmax": self.absmax, "entropy": self.entropy, "percentile": self.percentile}[calibrator]


@dataclass(frozen=True)
class Ranges:
    """The calibration table of one network."""

    tensors: Mapping[str, TensorRange]
    runs: int
    digest: str
    """sha256 of the calibration data."""

    def sizes(self) -> Mapping[str, int]:
        """Return the number of elements of every tensor."""
        return {name: entry.elements for name, entry in self.tensors.items()}


def record_ranges(graph: Graph, feeds: Sequence[Feed], *, on_step: Callable[[int, int], None] | None = None) -> Ranges:
    """Run a network on every feed and record every float tensor, or read what was recorded with the same data before.

    ``on_step`` is told the number of finished runs and of all.
    """
    digest = feeds_digest(feeds)
    place = _place(graph, digest)
    known = _read(place, digest)
    if known is not None:
        return known
    floats = (FLOAT, HALF, DOUBLE)
    computed = [name for node in graph.nodes for name in node.output if name and graph.types.get(name) in floats]
    given = [name for name in graph.inputs if graph.types.get(name) in floats]
    counted = {node.input[0] for node in graph.nodes if graph.channels_in(node) is not None}
    records = {name: _Record(with_histogram=name in counted) for name in (*given, *computed)}
    for feed in feeds:
        for name in given:
            records[name].add(feed[name])
    groups = _groups(graph, computed, feeds[0])
    total, done = len(groups) * len(feeds), 0
    backend = open_backend("cpu")
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        for names in groups:
            for outputs in run_network(backend, expose(graph, names), feeds, Path(folder)):
                for name, values in outputs.items():
                    if not math.isfinite(records[name].add(values)):
                        raise ModelError(
                            f"{graph.source}: {graph.producers[name].name!r} gives NaN or infinite values on the "
                            "calibration pictures even in FP32; check the value range of the network (edgesr inspect)"
                        )
                done += 1
                if on_step is not None:
                    on_step(done, total)
    ranges = Ranges({name: record.result() for name, record in records.items()}, len(feeds), digest)
    _write(place, ranges)
    return ranges


def _groups(graph: Graph, names: Sequence[str], feed: Feed) -> list[list[str]]:
    """Divide tensors, in their order, into groups that fit into memory together."""
    shapes = with_shapes(graph, {name: feed[name].shape for name in graph.inputs}).shapes
    groups: list[list[str]] = []
    room = 0
    for name in names:
        shape = shapes.get(name)
        size = 4 * math.prod(shape) if shape is not None and all(n >= 0 for n in shape) else _UNKNOWN
        if not groups or size > room:
            groups.append([])
            room = _BYTES
        groups[-1].append(name)
        room -= size
    return groups


class _Record:
    """Statistics of one tensor; a histogram costs ten times as much as the rest and is kept where INT8 needs it."""

    def __init__(self, *, with_histogram: bool) -> None:
        self._histogram = Histogram() if with_histogram else None
        self._absmax = 0.0
        self._elements = 0

    def add(self, values: Array) -> float:
        """Add one run and return its largest magnitude, NaN if there is one."""
        flat = values.ravel()
        largest = float(max(flat.max(initial=0.0), -flat.min(initial=0.0)))
        if not math.isfinite(largest):
            return largest
        self._absmax = max(self._absmax, largest)
        self._elements = max(self._elements, flat.size)
        if self._histogram is not None:
            self._histogram.add(flat)
        return largest

    def result(self) -> TensorRange:
        entropy, percentile = (
            self._histogram.threshold(name) if self._histogram is not None else self._absmax
            for name in ("entropy", "percentile")
        )
        return TensorRange(self._absmax, self._elements, entropy, percentile)


def _place(graph: Graph, digest: str) -> Path:
    key = hashlib.sha256(f"{_FORMAT} {PERCENTILE} {digest} ".encode() + graph.bytes()).hexdigest()
    return cache_folder() / "calibration" / f"{key}.json"


def _read(place: Path, digest: str) -> Ranges | None:
    """Return a table that was recorded before; one that is damaged is recorded anew."""
    try:
        document = json.loads(place.read_text("utf-8"))
        tensors = {name: TensorRange(**entry) for name, entry in document["tensors"].items()}
        return Ranges(tensors, int(document["runs"]), digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(place: Path, ranges: Ranges) -> None:
    """Keep a table for the next build; a cache that cannot be written is no error."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as stream:
            stream.write(json.dumps(asdict(ranges)).encode())
    except OSError:
        return
