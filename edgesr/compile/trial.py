"""Random inputs for networks that are no picture-to-picture models, in sizes that they take."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import run_copies
from edgesr.compile.graph import BOOL, DOUBLE, FLOAT, HALF, INT8, INT32, INT64, UINT8, Graph
from edgesr.engines import open_backend
from edgesr.errors import EdgesrError, ModelError
from edgesr.types import Array

_KINDS = {FLOAT: np.float32, HALF: np.float16, DOUBLE: np.float64, INT32: np.int32, INT64: np.int64,
          INT8: np.int8, UINT8: np.uint8, BOOL: np.bool_}  # fmt: skip
SIDES = (16, 32, 64, 8, 96, 128, 224)
Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each input."""


@dataclass(frozen=True)
class Sizes:
    """Two sets of shapes that a network takes; they are the same where nothing is dynamic."""

    small: Shapes
    large: Shapes
    """A batch of 2 and other sides, as far as they are dynamic and the network takes them."""


def find_sizes(graph: Graph) -> Sizes:
    """Try the network at several sizes; raise ModelError when it takes none."""
    problem: EdgesrError | None = None
    for side in SIDES:
        try:
            small = _tried(graph, 1, side, side)
        except EdgesrError as error:
            problem = error
            continue
        for batch, height, width in ((2, 2 * side, side), (1, 2 * side, side), (2, side, side)):
            try:
                return Sizes(small, _tried(graph, batch, height, width))
            except EdgesrError:
                continue
        return Sizes(small, small)
    raise ModelError(f"{graph.source}: runs on no random tensors ({problem})")


def random_inputs(graph: Graph, shapes: Shapes, seed: int = 0) -> dict[str, Array]:
    """Draw normal floats and small whole numbers, by input."""
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name in graph.inputs:
        kind = _KINDS[graph.types[name]]
        normal = random.standard_normal(shapes[name])
        found[name] = normal.astype(kind) if np.dtype(kind).kind == "f" else (normal > 0).astype(kind)
    return found


def _tried(graph: Graph, batch: int, height: int, width: int) -> Shapes:
    shapes = {}
    for name in graph.inputs:
        if graph.types.get(name) not in _KINDS or name not in graph.shapes:
            raise ModelError(f"{graph.source}: the input {name!r} has no known type and shape; export it with them")
        rank = len(graph.shapes[name])
        wanted = (batch,) if rank == 1 else (batch, *[height] * (rank - 2), width)
        shapes[name] = tuple(size if size > 0 else wanted[axis] for axis, size in enumerate(graph.shapes[name]))
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        run_copies(open_backend("cpu"), graph.bytes(), [random_inputs(graph, shapes)], Path(folder))
    return shapes
