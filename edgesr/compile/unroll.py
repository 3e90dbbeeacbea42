"""Encoder, all steps of the reverse diffusion and decoder in one graph: picture in, picture out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesr.compile.checks import check_network
from edgesr.compile.ends import Ends, Latents, decode, encode, find_ends
from edgesr.compile.fuse_step import check_times, pass_inputs, state_dimensions
from edgesr.compile.graph import FLOAT, Graph
from edgesr.compile.join import Assembly, Dimensions, aligned, dimensions_of
from edgesr.compile.roles import StepRoles, find_roles
from edgesr.compile.timing import TimeTables, fold_time
from edgesr.compile.trial import find_sizes
from edgesr.compile.unrolled_check import UnrolledParts, unrolled_deviation
from edgesr.compile.update import StepNodes, hook_input, total
from edgesr.errors import ModelError
from edgesr.schedule import COLUMNS, Schedule

SOURCES = ("latent", "image", "input")


@dataclass(frozen=True)
class Unrolled:
    """The whole diffusion as a graph, and how well it was found to agree with the numpy loop.

    Inputs: ``image``, what the encoder takes or, without one, a tensor like the state; ``noise_start`` and ``noise_N``
    for each step N that adds noise, float32, of the state's shape; then whatever nothing inside gives, under its own
    name. Output: ``result``, what the decoder gives or, without one, the last state.
    """

    graph: Graph
    roles: StepRoles
    sources: Mapping[str, str]
    """The network's conditions, to one of ``SOURCES``."""
    folded: int
    """Nodes of the time embedding that became constants, in each step."""
    deviation: float
    """Largest difference from the numpy loop, as a fraction of the largest value."""


def unroll(
    network: Graph,
    schedule: Schedule,
    *,
    encoder: Graph | None = None,
    decoder: Graph | None = None,
    roles: Mapping[str, str] | None = None,
    conditions: Mapping[str, str] | None = None,
    latents: Latents | None = None,
    hook: Graph | None = None,
) -> Unrolled:
    """Merge everything from picture to picture; weights are stored once, timesteps and coefficients are constants.

    ``conditions`` says what the network's other inputs get, where their channels leave a choice: ``latent``, ``image``
    or ``input`` (an input of the graph); the one that is joined to the state is called ``condition``.
    """
    given = {"network": network, "encoder": encoder, "decoder": decoder, "hook": hook}
    names = [name for name, part in given.items() if part is not None]
    parts = dict(zip(names, aligned([part for part in given.values() if part is not None]), strict=True))
    network, hook = parts["network"], parts.get("hook")
    found = find_roles(network, roles)
    check_times(network, found, schedule)
    ends = find_ends(network, found, parts.get("encoder"), parts.get("decoder"), latents or Latents())
    sources = _sources(network, found, ends, schedule, conditions or {})
    add = Assembly(network.source, list(parts.values()))
    size = [side if isinstance(side, int) else f"latent_{i}" for i, side in enumerate(state_dimensions(network, found))]
    image, latent = encode(add, ends, size)
    given_by = {"latent": latent, "image": image}
    wired = {
        name: _cast(add, given_by[source], network, name)
        if source in given_by
        else add.input(*_own(network, found, name, size))
        for name, source in sources.items()
    }
    joined = wired.pop("condition") if found.joined else None
    projected = pass_inputs(add, hook, tuple(n for n in hook.inputs if n != hook_input(hook))) if hook else {}
    tables = TimeTables({}, 0)
    if found.timestep is not None:
        tables = fold_time(network, found.timestep, schedule.timesteps, find_sizes(network))
    start = [(schedule.signal, latent), (schedule.noise, add.input("noise_start", size) if schedule.noise else "")]
    state, x0 = total(add, "start", [(factor, tensor) for factor, tensor in start if factor]), None
    steps = StepNodes(add, network, found, schedule, hook)
    for index, row in enumerate(schedule.rows):
        feeds = {name: add.constant(f"step{index}/{name}", table[index]) for name, table in tables.values.items()}
        if found.timestep is not None:
            feeds.setdefault(found.timestep, state)  # taken by nodes alone that are left out
        state, x0 = steps.step(
            f"step{index}/", state, dict(zip(COLUMNS, map(float, row), strict=True)), network={**wired, **feeds},
            hook=projected, dimensions=size, joined=joined, previous_x0=x0 if row[6] else None,
            noise=add.input(f"noise_{index}", size) if index in schedule.noisy_steps else None,
        )  # fmt: skip
    decode(add, ends, state, size)
    graph = add.graph()
    check_network(graph)
    worst = unrolled_deviation(graph, UnrolledParts(network, found, schedule, ends, hook, sources, projected))
    return Unrolled(graph, found, sources, tables.folded, worst)


def _sources(
    network: Graph, roles: StepRoles, ends: Ends, schedule: Schedule, wishes: Mapping[str, str]
) -> dict[str, str]:
    """Decide what each condition gets, by its channels."""
    if schedule.signal and ends.channels != roles.channels:
        raise ModelError(
            f"{network.source}: has a state of {roles.channels} channels, which cannot start from the "
            f"{ends.channels} channels of the encoded picture; use start='noise'"
        )
    names = (*roles.conditions, *(("condition",) if roles.joined else ()))
    for name, source in wishes.items():
        if name not in names or source not in SOURCES:
            raise ModelError(
                f"{network.source}: {name}={source} is no condition; use {', '.join(SOURCES)} for one of "
                f"{', '.join(names) or 'none'}"
            )
    found = {}
    for name in names:
        shape = (1, roles.joined, 0, 0) if name == "condition" and roles.joined else network.shapes[name]
        offered = {"latent": ends.channels, "image": ends.image_channels}
        fitting = [source for source, count in offered.items() if len(shape) > 2 and shape[1] in (count, -1)]
        if ends.encoder is None:
            fitting = fitting[:1]
        if len(fitting) > 1 and name not in wishes:
            raise ModelError(f"{network.source}: the condition {name!r} fits the latent and the image; say which")
        found[name] = wishes.get(name) or (fitting[0] if fitting else "input")
    return found


def _own(network: Graph, roles: StepRoles, name: str, size: Dimensions) -> tuple[str, Dimensions, int]:
    """Return name, sizes and type of a condition that is an input of the graph."""
    if name == "condition" and roles.joined:
        return name, [size[0], roles.joined, *size[2:]], FLOAT
    taken = name in ("image", "result") or name.startswith(("noise_", "step", "start"))
    return f"condition_{name}" if taken else name, dimensions_of(network, name), network.types[name]


def _cast(add: Assembly, tensor: str, network: Graph, name: str) -> str:
    """Cast latent or image, which are float32, to the type that the network takes; the joined one is cast later."""
    kind = network.types.get(name, FLOAT)
    return tensor if kind == FLOAT else add.cast(tensor, kind, f"ends/{name}")
