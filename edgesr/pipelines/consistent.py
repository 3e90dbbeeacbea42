"""Bands of an enlarged picture made consistent with the measurement, in memory that does not grow with its height."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgesr.image.backproject import REACH, Projection, back_project
from edgesr.image.measurement import Bounds
from edgesr.image.resample import Kernel
from edgesr.types import FloatArray


def consistent_bands(
    bands: Iterator[FloatArray], bounds: Bounds, scale: int, kernel: Kernel, *, projection: Projection, strength: float
) -> Iterator[FloatArray]:
    """Yield float32 ``(h, W, C)`` bands of other heights that agree with the small picture of ``bounds``.

    Each row is projected together with ``REACH`` small rows around it, beyond which none has an influence.
    """
    height = len(bounds.low)
    window: FloatArray | None = None
    top = done = 0
    for band in bands:
        window = band if window is None else np.concatenate([window, band])
        last = min(top + len(window) // scale, height)
        ready = height if last == height else last - REACH
        if ready <= done:
            continue
        projected = back_project(
            window[: (last - top) * scale], bounds.rows(top, last), scale, kernel,
            projection=projection, strength=strength,
        )  # fmt: skip
        yield projected[(done - top) * scale : (ready - top) * scale]
        done = ready
        kept = max(ready - REACH, 0)
        window, top = window[(kept - top) * scale :], kept
