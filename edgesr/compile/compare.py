"""Where a network of lower precision departs from FP32: the error of every layer's output, in order of computation."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.feeds import Feed, run_network
from edgesr.compile.graph import FLOAT, HALF, Graph, expose
from edgesr.engines import open_backend
from edgesr.types import Array

THRESHOLD = 0.01
_WORST = 10


@dataclass(frozen=True)
class LayerDifference:
    """How far one layer's output is from that of FP32, on the worst of the runs."""

    layer: str
    operator: str
    tensor: str
    precision: str
    """``fp32``, ``fp16`` or ``int8``, as the network asks for it."""
    error: float
    """Root mean square of the difference over that of the FP32 values; infinite for NaN and infinite values."""
    added: float
    """By how much the error is above the largest of the layer's inputs."""
    max_abs: float
    """Largest absolute difference, in the tensor's own unit."""


@dataclass(frozen=True)
class Comparison:
    """All layers whose output both networks have."""

    layers: tuple[LayerDifference, ...]
    runs: int
    threshold: float = THRESHOLD

    @property
    def first(self) -> LayerDifference | None:
        """The first layer whose error is above the threshold."""
        return next((layer for layer in self.layers if layer.error > self.threshold), None)

    def worst(self, count: int = _WORST) -> list[LayerDifference]:
        """Return the layers that add most to the error, the worst first."""
        return sorted((layer for layer in self.layers if layer.added > 0), key=lambda layer: -layer.added)[:count]

    def document(self) -> dict[str, Any]:
        """Return JSON data; an error of null is that of NaN or infinite values."""
        layers = [
            {name: value if not isinstance(value, float) or math.isfinite(value) else None for name, value in it}
            for it in (asdict(layer).items() for layer in self.layers)
        ]
        first = self.first
        return {
            "runs": self.runs,
            "threshold": self.threshold,
            "first_above_threshold": first.layer if first else None,
            "worst": [layer.layer for layer in self.worst()],
            "layers": layers,
        }

    def table(self) -> list[str]:
        """Return lines for people: the first layer above the threshold and the worst ones."""
        first = self.first
        found = (
            f"the first above {self.threshold:.2%} is {first.layer!r}" if first else f"none above {self.threshold:.2%}"
        )
        head = f"{len(self.layers)} layers against FP32 on {self.runs} runs: {found}"
        rows = [("error", "added", "largest", "type", "operator", "layer")]
        rows += [
            (f"{it.error:.3%}", f"{it.added:.3%}", f"{it.max_abs:.3g}", it.precision, it.operator, it.layer)
            for it in [*([first] if first else []), *(it for it in self.worst() if it is not first)]
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return [
            head,
            *("  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[5]]) for row in rows),
        ]


def comparable(reference: Graph, candidate: Graph) -> list[str]:
    """Name the float tensors that nodes of both networks compute, in the order of the reference."""
    return [
        name
        for node in reference.nodes
        for name in node.output
        if name in candidate.producers
        and reference.types.get(name) == FLOAT
        and candidate.types.get(name) in (FLOAT, HALF)
    ]


def compare_networks(
    reference: Graph,
    candidate: Graph,
    feeds: Sequence[Feed],
    *,
    precisions: Mapping[str, str],
    threshold: float = THRESHOLD,
) -> Comparison:
    """Run two ONNX networks on the CPU and compare every tensor that both compute.

    ``candidate`` is the typed network or what imitates it (see edgesr.compile.emulate). ``precisions`` are those of the
    nodes by name, FP32 where it has none.
    """
    names = comparable(reference, candidate)
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        found = run_network(open_backend("cpu"), expose(candidate, names), feeds, Path(folder))
        return compare_runs(reference, names, feeds, found, precisions=precisions, threshold=threshold)


def compare_runs(
    reference: Graph,
    names: Sequence[str],
    feeds: Sequence[Feed],
    found: Iterable[Mapping[str, Array]],
    *,
    precisions: Mapping[str, str],
    threshold: float = THRESHOLD,
) -> Comparison:
    """Compare the tensors ``names`` that ``found`` holds for each feed with those of the reference on the CPU."""
    errors = dict.fromkeys(names, 0.0)
    largest = dict.fromkeys(names, 0.0)
    with tempfile.TemporaryDirectory(prefix="edgesr-reference-") as folder:
        expected = run_network(open_backend("cpu"), expose(reference, names), feeds, Path(folder))
        for ours, theirs in zip(expected, found, strict=True):
            for name in names:
                error, distance = _errors(theirs[name], ours[name])
                errors[name] = max(errors[name], error)
                largest[name] = max(largest[name], distance)
    layers = []
    for node in reference.nodes:
        before = max((errors[name] for name in node.input if name in errors), default=0.0)
        for name in node.output:
            if name in errors:
                added = max(errors[name] - before, 0.0) if math.isfinite(before) else 0.0
                precision = precisions.get(node.name, "fp32")
                layers.append(
                    LayerDifference(node.name, node.op_type, name, precision, errors[name], added, largest[name])
                )
    return Comparison(tuple(layers), len(feeds), threshold)


def _errors(found: Array, expected: Array) -> tuple[float, float]:
    """Return the relative root mean square error and the largest absolute difference."""
    if not np.isfinite(found.astype(np.float64)).all():
        return math.inf, math.inf
    difference = found.astype(np.float64) - expected
    signal = float(np.mean(np.square(expected, dtype=np.float64))) ** 0.5
    error = float(np.mean(np.square(difference))) ** 0.5
    relative = error / signal if signal > 0 else 0.0 if error == 0 else 1.0
    return relative, float(np.abs(difference).max(initial=0.0))
