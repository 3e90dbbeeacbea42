"""What a network computes from the timestep alone, evaluated at the timesteps of a schedule."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies
from edgesr.compile.graph import Graph, expose
from edgesr.compile.nodes import captured
from edgesr.compile.trial import Shapes, Sizes, random_inputs
from edgesr.engines import open_backend
from edgesr.errors import ModelError
from edgesr.types import Array

_BROADCASTING = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where"})
_RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Dropout"})


@dataclass(frozen=True)
class TimeTables:
    """Tensors inside a network that depend on the timestep alone."""

    values: Mapping[str, Array]
    """Tensor to its value at each step, ``(steps, ...)``."""
    folded: int
    """Nodes that need not be computed."""


def fold_time(graph: Graph, timestep: str, timesteps: Array, sizes: Sizes) -> TimeTables:
    """Evaluate the time embedding at every timestep; ``timesteps`` is ``(steps,)``.

    Raises ModelError where the values change with the size of the picture.
    """
    timed, inside = _timed(graph, timestep)
    border = [name for name in timed if any(node.name not in inside for node in graph.consumers.get(name, ()))]
    tables = _evaluate(graph, timestep, border, timesteps, sizes.small)
    if sizes.large != sizes.small:
        for name, others in _evaluate(graph, timestep, border, timesteps[:1], sizes.large).items():
            _check_size(graph, name, tables[name][0], others[0])
    return TimeTables(tables, len(inside))


def _timed(graph: Graph, timestep: str) -> tuple[list[str], set[str]]:
    """Return the tensors, and names of the nodes, that depend on the timestep and on sizes, but on no other content."""
    timed, sizes, inside = [timestep], set[str](), set[str]()
    for node in graph.nodes:
        taken = [name for name in (*node.input, *captured(node)) if graph.is_dynamic(name)]
        if node.op_type in ("Shape", "Size"):
            sizes.update(node.output)
        elif node.op_type in _RANDOM or not all(name in sizes or name in timed for name in taken):
            continue
        elif any(name in timed for name in taken):
            inside.add(node.name)
            timed.extend(name for name in node.output if name)
        else:
            sizes.update(node.output)
    return timed, inside


def _evaluate(graph: Graph, timestep: str, names: list[str], timesteps: Array, shapes: Shapes) -> dict[str, Array]:
    inputs = random_inputs(graph, shapes)
    feeds: list[Feed] = [{**inputs, timestep: np.full_like(inputs[timestep], t)} for t in timesteps]
    tables = {name: np.stack([feed[name] for feed in feeds]) for name in names if name == timestep}
    computed = [name for name in names if name != timestep]
    if computed:
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            runs = run_copies(open_backend("cpu"), expose(graph, computed), feeds, Path(folder))
        tables |= {name: np.stack([run[name] for run in runs]) for name in computed}
    return tables


def _check_size(graph: Graph, name: str, small: Array, large: Array) -> None:
    """Refuse values that change with the picture's size or that are repeated for a batch where that must stay."""
    fits = small.ndim == large.ndim and all(a in (1, b) for a, b in zip(small.shape, large.shape, strict=True))
    if not fits or not np.allclose(np.broadcast_to(small, large.shape), large, rtol=1e-5, atol=1e-6):
        raise ModelError(f"{graph.source}: {name!r} depends on the timestep and on the picture's size; do not fold it")
    takers = {node.op_type for node in graph.consumers.get(name, ())}
    if small.shape != large.shape and not takers <= _BROADCASTING:
        raise ModelError(
            f"{graph.source}: {name!r} is made once for every picture of a batch; export the network with "
            "a batch of 1, or do not fold"
        )
