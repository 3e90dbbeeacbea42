"""An unrolled diffusion against the numpy loop between encoder and decoder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from edgesr.compile.ends import Ends
from edgesr.compile.graph import Graph
from edgesr.compile.reference import ReferenceNetwork, ReferenceProjection, Runner, deviation
from edgesr.compile.roles import StepRoles
from edgesr.compile.trial import SIDES, random_inputs
from edgesr.errors import EdgesrError, ModelError
from edgesr.schedule import Schedule, sample
from edgesr.types import Array

UNROLLED_TOLERANCE = 1e-3
"""Of the largest value: each step hands its rounding to the next."""


@dataclass(frozen=True)
class UnrolledParts:
    """What an unrolled diffusion was made of."""

    network: Graph
    roles: StepRoles
    schedule: Schedule
    ends: Ends
    hook: Graph | None
    sources: Mapping[str, str]
    """Condition of the network to ``latent``, ``image`` or ``input``."""
    projected: Mapping[str, str]
    """Input of the hook to its name in the graph."""


def unrolled_deviation(graph: Graph, parts: UnrolledParts) -> float:
    """Run the graph and the numpy loop on random tensors, and return the largest deviation."""
    with ExitStack() as stack:
        whole = stack.enter_context(Runner(graph))
        encoder = stack.enter_context(Runner(parts.ends.encoder)) if parts.ends.encoder else None
        given, latent, result = _run(graph, parts, whole, encoder)
        plain = stack.enter_context(Runner(parts.network))
        hook = stack.enter_context(Runner(parts.hook)) if parts.hook else None
        offered = {"latent": latent, "image": given["image"]}
        inputs = {
            name: offered[source] if source in offered else given.get(f"condition_{name}", given.get(name, latent))
            for name, source in parts.sources.items()
        }
        held = {name: given[outer] for name, outer in parts.projected.items()}
        state = sample(
            parts.schedule,
            ReferenceNetwork(plain, parts.network, parts.roles, inputs),
            parts.schedule.first_state(latent, given.get("noise_start")).astype(np.float64),
            lambda index: given[f"noise_{index}"],
            ReferenceProjection(hook, parts.hook, held) if hook and parts.hook else None,
        )
        if parts.ends.decoder is not None:
            decoder = stack.enter_context(Runner(parts.ends.decoder))
            encoded = state / parts.ends.latents.factor + parts.ends.latents.shift
            state = decoder({parts.ends.decoder.inputs[0]: encoded})[parts.ends.decoder.outputs[0]]
    return deviation(result, state, f"{graph.source}: the unrolled result", UNROLLED_TOLERANCE)


def _run(
    graph: Graph, parts: UnrolledParts, whole: Runner, encoder: Runner | None
) -> tuple[dict[str, Array], Array, Array]:
    """Find a size that the graph takes; return its inputs, the latent and the result."""
    problem: EdgesrError | None = None
    for side in SIDES:
        shapes = {name: _shape(graph.shapes[name], side, side) for name in graph.inputs}
        try:
            latent = _latent(parts, random_inputs(graph, shapes)["image"], encoder)
            height, width = (*latent.shape[2:], 1, 1)[:2]
            for divisor in (1, 2, 4, 8, 16):
                for name in graph.inputs:
                    if name != "image":
                        inner = name not in parts.projected.values()
                        sides = (height, width) if inner else (max(height // divisor, 1), max(width // divisor, 1))
                        shapes[name] = _shape(graph.shapes[name], *sides)
                given = random_inputs(graph, shapes)
                try:
                    return given, latent, whole(given)["result"]
                except EdgesrError as error:
                    problem = error
                    if not parts.projected:
                        break
        except EdgesrError as error:
            problem = error
    raise ModelError(f"{graph.source}: the unrolled diffusion runs on no random tensors ({problem})")


def _latent(parts: UnrolledParts, image: Array, encoder: Runner | None) -> Array:
    if encoder is None or parts.ends.encoder is None:
        return image
    encoded = encoder({parts.ends.encoder.inputs[0]: image})[parts.ends.encoder.outputs[0]].astype(np.float32)
    return (encoded[:, : parts.ends.channels] - parts.ends.latents.shift) * parts.ends.latents.factor


def _shape(wanted: tuple[int, ...], height: int, width: int) -> tuple[int, ...]:
    free = (1, *[height] * (len(wanted) - 2), width) if len(wanted) > 1 else (1,) * len(wanted)
    return tuple(size if size > 0 else free[axis] for axis, size in enumerate(wanted))
