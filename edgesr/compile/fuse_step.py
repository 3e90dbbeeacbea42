"""A network and its sampler made into one ONNX graph whose call is a whole step of the reverse diffusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgesr.compile.checks import check_network
from edgesr.compile.graph import FLOAT, INT32, INT64, Graph
from edgesr.compile.join import Assembly, aligned, dimensions_of
from edgesr.compile.reference import StepParts, largest_deviation
from edgesr.compile.roles import StepRoles, find_roles
from edgesr.compile.timing import TimeTables, fold_time
from edgesr.compile.trial import find_sizes
from edgesr.compile.update import StepNodes, columns, hook_input
from edgesr.errors import ModelError, UsageError
from edgesr.schedule import COLUMNS, Schedule

_RESERVED = ("state", "previous_x0", "noise", "row", "step", "condition", "next_state", "x0")


@dataclass(frozen=True)
class FusedStep:
    """One step as a graph, and how well it was found to agree with the numpy loop.

    Inputs, float32 but for ``step``: ``state``; ``previous_x0`` and ``noise`` of its shape, where the schedule uses
    them; ``row`` ``(8,)``, the row of the schedule, or ``step`` ``(1,)`` int64, its number, where the steps are folded
    in; ``condition``, where the network takes one joined to the state; then the network's and the hook's other inputs
    under their own names, or ``condition_NAME`` where that is taken. Outputs: ``next_state`` and ``x0``.
    """

    graph: Graph
    roles: StepRoles
    conditions: Mapping[str, str]
    """Inputs beyond those of the loop, to their names in the network or hook."""
    folded: int
    """Nodes of the time embedding that became constants."""
    deviation: float
    """Largest difference from the numpy loop, as a fraction of the largest value."""


def fuse_step(
    network: Graph,
    schedule: Schedule,
    *,
    roles: Mapping[str, str] | None = None,
    hook: Graph | None = None,
    fold: bool = False,
) -> FusedStep:
    """Fuse a network that predicts noise, velocity or the clean picture with the update of a schedule.

    Without ``fold`` the graph serves any schedule of the same kind: rows come from outside. With it, rows and time
    embeddings of this schedule are constants. ``roles`` says what cannot be told apart (see ``find_roles``); ``hook``
    projects x0 after clipping, e.g. onto the pictures that agree with the measurement.
    """
    network, *others = aligned([network, *([hook] if hook else [])])
    hook = others[0] if others else None
    found = find_roles(network, roles)
    check_times(network, found, schedule)
    sizes = find_sizes(network)
    add = Assembly(network.source, [network])
    size = state_dimensions(network, found)
    state = add.input("state", size)
    history = add.input("previous_x0", size) if schedule.uses_history else None
    noise = add.input("noise", size) if schedule.noisy_steps else None
    tables, feeds = TimeTables({}, 0), {}
    if fold:
        index = add.node("Squeeze", [add.input("step", (1,), INT64)], "loop/index")
        values = add.constant("loop/rows", schedule.rows.astype(np.float32))
        row = columns(add.node("Gather", [values, index], "loop/row", axis=0), add)
        if found.timestep is not None:
            tables = fold_time(network, found.timestep, schedule.timesteps, sizes)
            feeds[found.timestep] = index  # taken by nodes alone that are left out
        for number, (name, table) in enumerate(tables.values.items()):
            constant = add.constant(f"loop/table{number}", table)
            feeds[name] = add.node("Gather", [constant, index], f"loop/timed{number}", axis=0)
    else:
        row = columns(add.input("row", (len(COLUMNS),)), add)
        if found.timestep is not None:
            feeds[found.timestep] = _time(add, network, found, str(row["t"]), state)
    if not np.any(schedule.rows[:, 1] != 1.0):
        row["c_in"] = 1.0
    joined = add.input("condition", [size[0], found.joined, *size[2:]]) if found.joined else None
    passed = pass_inputs(add, network, found.conditions)
    projected = pass_inputs(add, hook, tuple(n for n in hook.inputs if n != hook_input(hook))) if hook else {}
    after, x0 = StepNodes(add, network, found, schedule, hook).step(
        "loop/", state, row, network={**passed, **feeds}, hook=projected, dimensions=size, joined=joined,
        previous_x0=history, noise=noise,
    )  # fmt: skip
    add.output("next_state", after, size)
    add.output("x0", x0, size)
    graph = add.graph()
    check_network(graph)
    worst = largest_deviation(graph, StepParts(network, found, schedule, hook, passed, projected), sizes.small)
    conditions = {outer: name for part in (passed, projected) for name, outer in part.items()}
    conditions |= {"condition": found.state} if joined else {}
    return FusedStep(graph, found, conditions, tables.folded, worst)


def check_times(network: Graph, roles: StepRoles, schedule: Schedule) -> None:
    """Refuse timesteps that the network cannot be told."""
    if roles.timestep is None and schedule.steps > 1:
        raise ModelError(
            f"{network.source}: has no input for the timestep, so it cannot take {schedule.steps} steps; "
            "the exporter may have frozen it"
        )
    is_whole = roles.timestep is not None and network.types[roles.timestep] in (INT32, INT64)
    if is_whole and np.any(schedule.timesteps % 1):
        raise UsageError(
            f"{network.source}: takes whole timesteps, and Euler with linspace spacing has others; "
            "use trailing spacing or another sampler"
        )


def state_dimensions(network: Graph, roles: StepRoles) -> list[int | str]:
    """Return the sizes of the state, which the network may take together with a condition."""
    size = dimensions_of(network, roles.state)
    size[1] = roles.channels
    return size


def pass_inputs(add: Assembly, part: Graph, names: tuple[str, ...]) -> dict[str, str]:
    """Make inputs of a part inputs of the assembly, and return what they are called there."""
    feeds = {name: f"condition_{name}" if name in _RESERVED else name for name in names}
    for name, outer in feeds.items():
        add.input(outer, dimensions_of(part, name), part.types[name])
    return feeds


def _time(add: Assembly, network: Graph, roles: StepRoles, t: str, state: str) -> str:
    """Give the timestep ``(1,)`` the shape and type that the network wants."""
    name = str(roles.timestep)
    kind, rank = network.types[name], len(network.shapes[name])
    t = t if kind == FLOAT else add.cast(t, kind, "loop/time")
    if rank == 0:
        return add.node("Squeeze", [t, add.constant("loop/time_axis", [0])], "loop/time_scalar")
    if network.shapes[name][0] < 0:
        sizes = add.node("Shape", [state], "loop/sizes")
        batch = add.node("Gather", [sizes, add.constant("loop/batch_axis", [0])], "loop/batch")
        t = add.node("Expand", [t, batch], "loop/times")
    return t if rank == 1 else add.node("Unsqueeze", [t, add.constant("loop/time_axis", [1])], "loop/time_column")
