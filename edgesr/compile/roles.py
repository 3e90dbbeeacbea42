"""Which input of a diffusion network is the state, which the timestep, and which are conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesr.compile.graph import DOUBLE, FLOAT, HALF, INT32, INT64, Graph
from edgesr.errors import ModelError

_STATE_NAMES = ("sample", "x", "x_t", "xt", "state", "latent", "latents", "latent_sample", "noisy", "noisy_latents",
                "noisy_sample", "z", "z_t", "input")  # fmt: skip
_TIME_NAMES = ("timestep", "timesteps", "t", "time", "time_step", "noise_level", "sigma")
_OUTPUT_NAMES = ("out_sample", "output", "noise_pred", "noise", "eps", "epsilon", "prediction", "sample", "x0", "v")
_FLOATS = (FLOAT, HALF, DOUBLE)
ROLES = ("state", "timestep", "output")


@dataclass(frozen=True)
class StepRoles:
    """The tensors of a network that predicts noise, velocity or the clean picture, by what they are."""

    state: str
    timestep: str | None
    output: str
    channels: int
    """Of the state and the prediction, axis 1."""
    joined: int = 0
    """Channels of a condition that the network takes in one input with the state, behind it."""
    conditions: tuple[str, ...] = ()
    """All other inputs."""


def find_roles(graph: Graph, given: Mapping[str, str] | None = None) -> StepRoles:
    """Tell the inputs of a network apart by name, shape and type; ``given`` maps some of ``ROLES`` to tensor names.

    Raises ModelError that names the candidates where they cannot be told apart.
    """
    given = dict(given or {})
    for role, name in given.items():
        if role not in ROLES:
            raise ModelError(f"{graph.source}: unknown role {role!r}; use {', '.join(ROLES)}")
        known = graph.outputs if role == "output" else graph.inputs
        if name not in known:
            raise ModelError(f"{graph.source}: has no tensor {name!r} for the {role}; it has {', '.join(known)}")
    output = given.get("output") or _output(graph)
    rank = len(graph.shapes.get(output, ()))
    timestep = given.get("timestep") or _timestep(graph)
    pictures = [
        name
        for name in graph.inputs
        if graph.types.get(name) in _FLOATS and len(graph.shapes.get(name, ())) == rank and name != timestep
    ]
    channels = graph.shapes[output][1]
    if channels < 1:
        raise ModelError(f"{graph.source}: the channels of {output!r} are not known; export it with a fixed number")
    state = given.get("state") or _state(graph, pictures, channels)
    taken = graph.shapes[state][1]
    if taken < channels:
        reason = "its variance too, which no sampler here uses; export the first half" if channels == 2 * taken else (
            f"{channels} channels for a state of {taken}, so it is no step of a diffusion; give the network that "
            "predicts noise or the clean latent"
        )  # fmt: skip
        raise ModelError(f"{graph.source}: predicts {reason}")
    others = tuple(name for name in graph.inputs if name not in (state, timestep))
    return StepRoles(state, timestep, output, channels, taken - channels, others)


def _output(graph: Graph) -> str:
    found = [
        name for name in graph.outputs if graph.types.get(name) in _FLOATS and len(graph.shapes.get(name, ())) >= 3
    ]
    if not found:
        raise ModelError(f"{graph.source}: has no float output like a picture, so it is no diffusion network")
    named = [name for name in found if name.lower() in _OUTPUT_NAMES]
    return _only(graph, "output", found if len(found) == 1 else named, found)


def _timestep(graph: Graph) -> str | None:
    found = [
        name
        for name in graph.inputs
        if graph.types.get(name) in (*_FLOATS, INT32, INT64)
        and name in graph.shapes
        and (len(graph.shapes[name]) < 2 or graph.shapes[name][1:] == (1,))
        and graph.shapes[name][:1] in ((), (1,), (-1,))
    ]
    named = [name for name in found if name.lower() in _TIME_NAMES]
    if not found:
        return None
    return _only(graph, "timestep", named if named else found, found)


def _state(graph: Graph, pictures: list[str], channels: int) -> str:
    if not pictures:
        raise ModelError(f"{graph.source}: has no input like its output, so it is no diffusion network")
    if len(pictures) == 1:
        return pictures[0]
    named = [name for name in pictures if name.lower() in _STATE_NAMES]
    fitting = [name for name in pictures if graph.shapes[name][1] == channels]
    for chosen in (named, fitting, [name for name in named if name in fitting]):
        if len(chosen) == 1:
            return chosen[0]
    return _only(graph, "state", [], pictures)


def _only(graph: Graph, role: str, chosen: list[str], candidates: list[str]) -> str:
    if len(chosen) == 1:
        return chosen[0]
    raise ModelError(
        f"{graph.source}: any of {', '.join(map(repr, candidates))} may be the {role}; say which, e.g. --role "
        f"{role}={candidates[0]}"
    )
