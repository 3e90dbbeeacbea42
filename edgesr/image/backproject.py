"""Back-projection: move an enlarged picture onto those that, made small, give the picture that was measured.

A picture whose downscaled form stays within the bounds of the measurement may be the true one, and no other may.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias, get_args

import numpy as np

from edgesr.errors import InputError
from edgesr.image.measurement import Bounds
from edgesr.image.resample import Kernel, downscale, downscale_transposed, upscale
from edgesr.types import Array, FloatArray

Projection: TypeAlias = Literal["oblique", "orthogonal"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)

REACH = 24
"""Small rows beyond which a row changes the projection of another by less than what ends the iterations."""
_ITERATIONS = 40
_ENOUGH = 1e-4
"""Largest excess, of the whole range, at which iterations end: 0.03 of 256 grey levels."""
_OBLIQUE, _ORTHOGONAL = np.float32(1.5), np.float32(1.8)
"""Over-relaxation: a step goes past the bound, so that rounding the picture to grey levels does not leave it again.
An orthogonal one below 2 is still never further from a consistent picture."""
_SIDE = 16
"""Of the small picture whose largest gain is taken for that of all."""


def back_project(
    image: Array, bounds: Bounds, scale: int, kernel: Kernel, *, projection: Projection, strength: float = 1.0
) -> FloatArray:
    """Return float32 ``(H, W, C)`` in [0, 1] whose downscaled form lies within ``bounds``, near to ``image``.

    ``orthogonal`` changes only what the downscaler sees, and never takes the picture further from any consistent one,
    so never from the truth: it descends the squared excess. ``oblique`` adds the excess enlarged bicubically, which
    also removes smooth structure that was invented, and can move away from the truth where errors are noise.
    ``strength`` below 1 leaves that part of the excess to the noise of the measurement.
    """
    if projection not in PROJECTIONS:
        raise InputError(f"there is no projection {projection!r}; use {' or '.join(PROJECTIONS)}")
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"the strength of the consistency must be 0 to 1, got {strength}")
    result: FloatArray = np.clip(image, 0.0, 1.0).astype(np.float32, copy=False)
    oblique, orthogonal = (_OBLIQUE, _ORTHOGONAL) if strength == 1.0 else (np.float32(1.0), np.float32(1.0))
    if strength < 1.0:
        spared = np.float32(1.0 - strength) * bounds.excess(downscale(result, scale, kernel))
        bounds = Bounds(bounds.low - np.maximum(spared, 0.0), bounds.high - np.minimum(spared, 0.0))
    step = orthogonal / np.float32(_largest_gain(scale, kernel))
    for _ in range(_ITERATIONS):
        excess = bounds.excess(downscale(result, scale, kernel))
        if np.abs(excess).max() <= _ENOUGH:
            break
        if projection == "oblique":
            result += oblique * upscale(excess, scale)
        else:
            result += step * downscale_transposed(excess, scale, kernel)
        np.clip(result, 0.0, 1.0, out=result)
    return result


@cache
def _largest_gain(scale: int, kernel: Kernel) -> float:
    """Return the largest eigenvalue of downscaling after its transpose, from the singular values of one axis."""
    rows = np.broadcast_to(np.eye(_SIDE * scale)[:, None, :], (_SIDE * scale, scale, _SIDE * scale))
    one_axis = downscale(rows, scale, kernel)[:, 0]
    return float(np.linalg.norm(one_axis, 2)) ** 4
