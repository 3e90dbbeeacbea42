"""Measure how far a network looks, and whether pieces of a picture fit together with that much context."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import numpy as np

from edgesr.model.probing import BORDER, PROBE, Doubles, Probe, Range

_SAME = 3e-4
"""Largest mean difference, as a fraction of the output's range, between a piece run alone and within a picture."""
_PHASES = (0, 1, 3)
"""Places, in pixels, where a change is tried: a strided network looks further from some pixels than from others."""


def measure_receptive_field(
    probe: Probe, scale: int, multiple: int, values: Range, *, largest: int = 256, seconds: float = 20.0
) -> int | None:
    """Return how many input pixels away, at most, a changed pixel still changes the output.

    None when the change may reach beyond a ``largest`` pixel wide picture (global attention or pooling), when a piece
    with that much context differs from the same piece of a larger picture, as where positions or the greatest value
    of a picture count, or when measuring takes more than ``seconds`` of processor time.
    """
    deadline = process_time() + seconds
    side = max(PROBE // multiple, 3) * multiple
    while side <= largest:
        try:
            radius = _radius(probe, scale, multiple, values, side=side, deadline=deadline)
        except Exception:  # a size that does not run tells nothing
            return None
        if radius is not None:
            return radius if pieces_fit(probe, scale, multiple, values, radius) else None
        if process_time() > deadline:
            return None
        side *= 2
    return None


def pieces_fit(run: Callable[[Doubles], Doubles], scale: int, multiple: int, values: Range, radius: int) -> bool:
    """Tell whether two pieces, run alone, equal those of the whole picture but for ``radius`` pixels at their cuts.

    ``run`` maps a picture ``(h, w)`` in the range ``values`` to ``(h * scale, w * scale, C)``. The picture grows
    brighter and richer in contrast from one piece to the other, so that whatever is computed from all of it differs.
    """
    side = -(-max(PROBE, radius + 2 * BORDER) // multiple) * multiple
    ramp = np.add.outer(np.arange(2 * side), np.arange(2 * side)) / (4 * side)
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, ramp.shape)
    picture = values[0] + (values[1] - values[0]) * (0.1 + 0.8 * ramp * (0.75 + 0.5 * noise))
    try:
        whole = run(picture)
        first, last = run(picture[:side, :side]), run(picture[side:, side:])
    except Exception:  # a size that does not run tells nothing
        return False
    inner, cut, span = (side - radius) * scale, radius * scale, float(np.ptp(whole)) or 1.0
    differences = first[:inner, :inner] - whole[:inner, :inner], last[cut:, cut:] - whole[-inner:, -inner:]
    return all(float(np.abs(difference).mean()) <= _SAME * span for difference in differences)


def _radius(probe: Probe, scale: int, multiple: int, values: Range, *, side: int, deadline: float) -> int | None:
    """Return the largest distance that a change travels in a picture of ``side`` pixels, None if maybe beyond it."""
    base = values[0] + (values[1] - values[0]) * np.random.default_rng(0).uniform(0.25, 0.75, (side, side))
    before = probe(base)
    first = (side // multiple // 2) * multiple
    touched = {first + phase: np.zeros((side, side), bool) for phase in (*_PHASES, multiple - 1)}
    radius = 0
    for value in values if probe.dtype == "uint8" else (np.nan, *values):
        for position, seen in touched.items():
            if process_time() > deadline:
                return None
            changed = base.copy()
            changed[position, position] = value
            differs = (probe(changed) != before).any(axis=2)
            seen |= differs.reshape(side, scale, side, scale).any(axis=(1, 3))
            for axis in (0, 1):
                reached = np.union1d(np.flatnonzero(seen.any(axis=axis)), [position])
                # Dilated networks touch pixels far apart: one more of the widest gaps must still fit into the picture.
                step = int(np.diff(reached).max(initial=1))
                if reached[0] - step < 0 or reached[-1] + step > side - 1:
                    return None
                radius = max(radius, int(position - reached[0]), int(reached[-1] - position))
    return radius
