"""The reverse diffusion in numpy: the reference for every fused form, and a loop for networks that are not fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgesr.errors import UsageError
from edgesr.schedule.table import Schedule
from edgesr.types import Array

Network = Callable[[Array, float], Array]
"""``network(scaled_state, t)``: the raw prediction, of the state's shape."""
Noise = Callable[[int], Array]
"""``noise(step)``: noise of unit variance for a step that adds some, of the state's shape."""
Projection = Callable[[Array], Array]
"""What is done to a clipped x0, e.g. made to agree with the measurement."""


def sample(
    schedule: Schedule, network: Network, state: Array, noise: Noise | None = None, project: Projection | None = None
) -> Array:
    """Return the last state; ``state`` is the first one, ``(n, channels, height, width)``.

    The arithmetic is in the state's own type.
    """
    *_, (last, _) = steps(schedule, network, state, noise, project)
    return last


def steps(
    schedule: Schedule, network: Network, state: Array, noise: Noise | None = None, project: Projection | None = None
) -> Iterator[tuple[Array, Array]]:
    """Yield state and x0 after every step."""
    x0 = np.zeros_like(state)
    for index in range(schedule.steps):
        state, x0 = step(schedule, index, network, state, x0, noise=noise, project=project)
        yield state, x0


def step(
    schedule: Schedule,
    index: int,
    network: Network,
    state: Array,
    previous_x0: Array,
    *,
    noise: Noise | None = None,
    project: Projection | None = None,
) -> tuple[Array, Array]:
    """Return the next state and x0 of one step; ``previous_x0`` is that of the step before."""
    t, c_in, a, b, p, q, r, s = (float(value) for value in schedule.rows[index])
    x0 = schedule.clamp(a * state + b * network(c_in * state, t))
    x0 = x0 if project is None else project(x0)
    state = p * state + q * x0
    if r:
        state = state + r * previous_x0
    if s:
        if noise is None:
            raise UsageError(f"step {index} adds noise, and none was given")
        state = state + s * noise(index)
    return state, x0
