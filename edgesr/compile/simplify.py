"""Simplify a network with onnxsim, where it is installed, and refuse the result when its outputs move."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies, run_network
from edgesr.compile.graph import Graph
from edgesr.engines import open_backend
from edgesr.errors import BackendError, EdgesrError

_TOLERANCE = 1e-4
"""Of the largest value: folding constants changes the order of sums."""


def simplify(graph: Graph, feeds: Sequence[Feed]) -> tuple[Graph, str]:
    """Return the simplified network, or the one given, and a sentence that says which and why."""
    try:
        import onnxsim
    except ImportError:
        return graph, "not simplified: for that, pip install 'edgesr[build]' (onnxsim)"
    except Exception as error:  # a build for another system raises what it likes
        return graph, f"onnxsim does not start ({' '.join(str(error).split())[:100]}), so the graph was not simplified"
    try:
        model, checked = onnxsim.simplify(graph.copy())
        simpler = Graph(model, graph.source)
    except Exception as error:  # onnxsim runs shape inference and ONNX Runtime, which raise many types
        return graph, f"onnxsim failed ({' '.join(str(error).split())[:100]}), so the graph was not simplified"
    if not checked:
        return graph, "onnxsim's own check failed, so the graph was not simplified"
    if (simpler.inputs, simpler.outputs) != (graph.inputs, graph.outputs):
        return graph, "onnxsim changed the inputs or outputs, so its result was refused"
    try:
        moved = largest_move(graph, simpler, feeds)
    except EdgesrError as error:
        return graph, f"the simplified network does not run ({error}), so it was refused"
    if moved > _TOLERANCE:
        return graph, f"the simplified network's outputs move by {moved:.2g} of the largest value, so it was refused"
    return simpler, f"onnxsim made {len(simpler.nodes)} nodes of {len(graph.nodes)}"


def largest_move(graph: Graph, other: Graph, feeds: Sequence[Feed]) -> float:
    """Return the largest difference of any output, as a fraction of that output's largest value."""
    backend = open_backend("cpu")
    largest = 0.0
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        place = Path(folder)
        expected = run_copies(backend, graph.bytes(), feeds, place)
        for reference, run in zip(expected, run_network(backend, other.bytes(), feeds, place), strict=True):
            for name, values in reference.items():
                if values.shape != run[name].shape:
                    raise BackendError(f"output {name!r} has shape {run[name].shape} in place of {values.shape}")
                scale = max(float(np.abs(values).max(initial=0.0)), 1e-30)
                largest = max(largest, float(np.abs(run[name] - values).max(initial=0.0)) / scale)
    return largest
