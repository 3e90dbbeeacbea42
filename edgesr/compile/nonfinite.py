"""Find the layer of a network that first makes NaN or infinite values."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies
from edgesr.compile.graph import FLOAT, HALF, Graph, expose
from edgesr.engines import open_backend
from edgesr.errors import EdgesrError

_TOGETHER = 32
"""Tensors that are looked at in one run, which holds them all in memory."""


def first_nonfinite(path: Path, feed: Feed) -> str | None:
    """Return the last layer that is finite and the first that is not, as part of a sentence; None if all are."""
    graph = Graph.read(path)
    names = [
        (name, node.name) for node in graph.nodes for name in node.output if graph.types.get(name) in (FLOAT, HALF)
    ]
    before = "its inputs"
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        for first in range(0, len(names), _TOGETHER):
            group = names[first : first + _TOGETHER]
            try:
                (made,) = run_copies(
                    open_backend("cpu"), expose(graph, [name for name, _ in group]), [feed], Path(folder)
                )
            except EdgesrError:
                return None
            for name, node in group:
                if not np.isfinite(made[name]).all():
                    return f"the layers from {before} to {node!r}"
                before = repr(node)
    return None
