"""Which of the training timesteps a sampler visits."""

from __future__ import annotations

import numpy as np

from edgesr.types import Array


def spaced(
    spacing: str, steps: int, last: int, *, offset: int = 0, skip_zero: bool = False, fractions: bool = False
) -> Array:
    """Return ``steps`` timesteps below ``last``, falling, no two equal, float64 ``(steps,)``.

    ``spacing`` is one of table 2 of Lin et al. 2023: ``leading``, ``trailing`` or ``linspace``. ``skip_zero`` asks for
    one timestep more and leaves out the last, 0, as diffusers' DPM-Solver does; ``offset`` is its ``steps_offset``;
    ``fractions`` leaves linspace unrounded, as its Euler does. A single step is always the noisiest.
    """
    count = steps + skip_zero
    if steps == 1:
        return np.array([last - 1.0])
    if spacing == "linspace" and fractions:
        even: Array = np.linspace(0, last - 1, count)[::-1][:steps].copy()
        return even
    if spacing == "linspace":
        times: Array = np.round(np.linspace(0, last - 1, count))[::-1][:steps]
    elif spacing == "leading":
        times = np.arange(count)[::-1][:steps] * (last // count) + float(offset)
    else:
        times = np.round(last - np.arange(steps) * (last / steps)) - 1
    return _distinct(times, last)


def _distinct(times: Array, last: int) -> Array:
    """Move timesteps by as little as makes them fall strictly and stay in ``[0, last)``."""
    places = np.arange(len(times))
    rising = np.maximum.accumulate(times[::-1] - places) + places
    falling: Array = np.minimum(rising[::-1], last - 1 - places)
    return falling
