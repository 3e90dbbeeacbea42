"""The reverse diffusion in numpy: the reference for every fused form, and a loop for networks that are not fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgesr.schedule.table import Schedule
from edgesr.types import Array

Network = Callable[[Array, float], Array]
"""``network(scaled_state, t)``: the raw prediction, of the state's shape."""


def sample(schedule: Schedule, network: Network, state: Array, noise: Callable[[int], Array] | None = None) -> Array:
    """Return the last state; ``state`` is the first one, ``(n, channels, height, width)``.

    ``noise(step)`` gives the noise of a step that adds some, of the state's shape and unit variance.
    The arithmetic is in the state's own type.
    """
    *_, (last, _) = steps(schedule, network, state, noise)
    return last


def steps(
    schedule: Schedule, network: Network, state: Array, noise: Callable[[int], Array] | None = None
) -> Iterator[tuple[Array, Array]]:
    """Yield state and x0 after every step."""
    previous = np.zeros_like(state)
    for step, row in enumerate(schedule.rows):
        t, c_in, a, b, p, q, r, s = (float(value) for value in row)
        x0 = schedule.clamp(a * state + b * network(c_in * state, t))
        state = p * state + q * x0
        if r:
            state = state + r * previous
        if s:
            if noise is None:
                raise ValueError(f"step {step} adds noise, and none was given")
            state = state + s * noise(step)
        previous = x0
        yield state, x0
