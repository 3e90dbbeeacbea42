"""Uncertainty laid over a picture as heat."""

from __future__ import annotations

import numpy as np

from edgesr.image.convert import to_float
from edgesr.types import Array, FloatArray

FULL = 1.0 / 16.0
"""Uncertainty, of the whole range, that is shown in the strongest colour: 16 of 256 grey levels."""
BLOCK = 1 << 18
"""Pixels that are computed at a time, in a hundred bytes each."""
# From none through yellow and red: what is certain keeps its grey, and the eye finds the rest.
_STOPS = np.array([0.0, 0.35, 0.7, 1.0])
_COLOURS = np.array([[1.0, 1.0, 0.7], [1.0, 0.85, 0.1], [0.95, 0.35, 0.05], [0.7, 0.0, 0.25]])
_STRENGTHS = np.array([0.0, 0.35, 0.6, 0.75])


def heat_overlay(rows: Array, uncertainty: FloatArray) -> Array:
    """Return uint8 RGB ``(h, W, 3)``: pixels ``(h, W, C)`` as grey, coloured by an uncertainty ``(h, W)`` in [0, 1]."""
    result = np.empty((*rows.shape[:2], 3), np.uint8)
    step = max(1, BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        result[block] = _overlay(rows[block], uncertainty[block])
    return result


def _overlay(rows: Array, uncertainty: FloatArray) -> Array:
    pixels = to_float(rows)
    grey = pixels[..., :3].mean(axis=2) if pixels.shape[2] >= 3 else pixels[..., 0]
    heat = np.clip(uncertainty / FULL, 0.0, 1.0)
    strength = np.interp(heat, _STOPS, _STRENGTHS)[..., None]
    colour = np.stack([np.interp(heat, _STOPS, column) for column in _COLOURS.T], axis=2)
    mixed = grey[..., None] * (1.0 - strength) + colour * strength
    return np.asarray(np.rint(mixed * 255.0).clip(0, 255), np.uint8)
