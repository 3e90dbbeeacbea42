"""The numpy loop around a network in ONNX Runtime, against which every fused graph is checked."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import run_engine
from edgesr.compile.graph import Graph
from edgesr.compile.roles import StepRoles
from edgesr.compile.trial import Shapes, random_inputs
from edgesr.compile.update import hook_input
from edgesr.engines import Engine, open_backend
from edgesr.errors import EdgesrError, ModelError
from edgesr.schedule import Schedule
from edgesr.schedule.loop import step
from edgesr.types import Array

TOLERANCE = 1e-4
"""Of the largest value: sums are taken in another order when constants are folded."""


_CHECKED = 4
"""Steps that are compared: first, last and between."""


@dataclass(frozen=True)
class StepParts:
    """What a fused step was made of, and what the inputs of network and hook are called in it."""

    network: Graph
    roles: StepRoles
    schedule: Schedule
    hook: Graph | None
    passed: Mapping[str, str]
    projected: Mapping[str, str]


def largest_deviation(graph: Graph, parts: StepParts, shapes: Shapes) -> float:
    """Run some steps fused and in numpy, on random tensors, and return the largest deviation.

    ``shapes`` are those of the network's inputs; ``graph`` is a step as ``FusedStep`` describes it.
    """
    schedule, source, worst = parts.schedule, graph.source, 0.0
    sizes = _sizes(graph, parts, shapes)
    with ExitStack() as stack:
        fused, plain = stack.enter_context(Runner(graph)), stack.enter_context(Runner(parts.network))
        inner = stack.enter_context(Runner(parts.hook)) if parts.hook else None
        for index in np.unique(np.linspace(0, schedule.steps - 1, _CHECKED).round().astype(int)).tolist():
            given = random_inputs(graph, sizes, seed=index)
            given |= {"step": np.array([index]), "row": schedule.rows[index].astype(np.float32)}
            taken = {name: given[outer] for name, outer in parts.passed.items()}
            taken |= {"condition": given["condition"]} if parts.roles.joined else {}
            held = {name: given[outer] for name, outer in parts.projected.items()}
            after, x0 = step(
                schedule,
                index,
                ReferenceNetwork(plain, parts.network, parts.roles, taken),
                given["state"].astype(np.float64),
                given.get("previous_x0", np.zeros(1)),
                noise=partial(_constant, given.get("noise", np.zeros(1))),
                project=ReferenceProjection(inner, parts.hook, held) if inner and parts.hook else None,
            )
            if not np.isfinite(after).all():
                raise ModelError(
                    f"{source}: makes NaN or infinite values at timestep {schedule.timesteps[index]:g} of random "
                    "tensors; export it again, in FP32 if it is in FP16"
                )
            results = fused(given)
            for name, expected in (("next_state", after), ("x0", x0)):
                worst = max(worst, deviation(results[name], expected, f"{source}: {name} of step {index}"))
    return worst


class Runner:
    """A graph in ONNX Runtime on the CPU, called with arrays; a context manager."""

    def __init__(self, graph: Graph) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgesr-")
        path = Path(self._folder.name) / "network.onnx"
        path.write_bytes(graph.bytes())
        self._backend = open_backend("cpu")
        self._engine: Engine = self._backend.load(path)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()
        self._folder.cleanup()

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return copies of all outputs; inputs are cast to the types that the graph takes."""
        (results,) = [
            {name: np.array(values) for name, values in run.items()}
            for run in run_engine(self._backend, self._engine, [feeds])
        ]
        return results


class ReferenceNetwork:
    """A network as the numpy loop calls it: state and timestep in, prediction out."""

    def __init__(self, runner: Runner, graph: Graph, roles: StepRoles, inputs: Mapping[str, Array]) -> None:
        self._runner = runner
        self._roles = roles
        self._times = graph.shapes.get(str(roles.timestep), ())
        self._inputs = inputs
        """Of the network's other inputs, and ``condition`` where one is joined to the state."""

    def __call__(self, x: Array, t: float) -> Array:
        """Return the prediction in the state's own type."""
        taken = np.concatenate([x, self._inputs["condition"]], axis=1) if self._roles.joined else x
        feeds = {**self._inputs, self._roles.state: taken}
        if self._roles.timestep is not None:
            shape = tuple(size if size > 0 else len(x) for size in self._times)
            feeds[self._roles.timestep] = np.full(shape, t)
        return self._runner(feeds)[self._roles.output].astype(x.dtype)


class ReferenceProjection:
    """A hook as the numpy loop calls it."""

    def __init__(self, runner: Runner, graph: Graph, inputs: Mapping[str, Array]) -> None:
        self._runner = runner
        self._name = hook_input(graph)
        self._output = graph.outputs[0]
        self._inputs = inputs

    def __call__(self, x0: Array) -> Array:
        """Return the projected x0 in its own type."""
        return self._runner({**self._inputs, self._name: x0})[self._output].astype(x0.dtype)


def deviation(found: Array, expected: Array, what: str, tolerance: float = TOLERANCE) -> float:
    """Return the largest difference as a fraction of the largest value; raise ModelError above the tolerance."""
    if found.shape != expected.shape:
        raise ModelError(f"{what} has shape {found.shape} in place of {expected.shape}")
    peak = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
    largest = float(np.abs(found - expected).max(initial=0.0)) / peak
    if not largest <= tolerance:
        raise ModelError(
            f"{what} differs from the numpy loop by {largest:.2g} of the largest value ({tolerance:.0e} is allowed); "
            "the network may be unstable on random tensors, or not depend on its inputs alone"
        )
    return largest


def _constant(values: Array, _: int) -> Array:
    return values


def _sizes(graph: Graph, parts: StepParts, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Choose a shape for each input of the step; those of a hook may be any fraction of the state's."""
    state = shapes[parts.roles.state]
    outer = {name: shapes[inner] for inner, name in parts.passed.items()}
    for divisor in (1, 2, 4, 8, 16):
        sides = (*state[:2], *(max(side // divisor, 1) for side in state[2:]))
        sizes = {
            name: tuple(
                size if size > 0 else (sides if name in parts.projected.values() else state)[axis]
                for axis, size in enumerate(graph.shapes[name])
            )
            for name in graph.inputs
        } | outer
        if parts.hook is None:
            return sizes
        given = random_inputs(graph, sizes)
        held = {name: given[outside] for name, outside in parts.projected.items()}
        try:
            with Runner(parts.hook) as runner:
                ReferenceProjection(runner, parts.hook, held)(given["state"])
        except EdgesrError:
            continue
        return sizes
    raise ModelError(f"{graph.source}: the hook runs on no random tensors beside a state of {state}")
