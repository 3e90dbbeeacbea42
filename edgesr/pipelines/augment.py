"""Geometric self-ensemble: the mean over flips and right-angle rotations (Timofte et al. 2016, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesr.types import FloatArray


def self_ensemble(pixels: FloatArray, run: Callable[[FloatArray], FloatArray], *, rotate: bool) -> FloatArray:
    """Return the mean of ``run`` over the 8 symmetries of float32 ``(h, w, c)``, or the 4 flips when not ``rotate``."""
    total: FloatArray | None = None
    turns = range(4) if rotate else range(0, 4, 2)
    for turn in turns:
        for flip in (False, True):
            view = np.rot90(pixels, turn)
            result = run(np.ascontiguousarray(view[:, ::-1] if flip else view))
            result = np.rot90(result[:, ::-1] if flip else result, -turn)
            total = result.copy() if total is None else np.add(total, result, out=total)
    assert total is not None
    total *= np.float32(1.0 / (2 * len(turns)))
    return total
