"""How far a picture's values are from its reference's."""

from __future__ import annotations

import math

import numpy as np

from edgesr.bench.metrics.planes import Pair


def psnr(pair: Pair) -> float:
    """Return the peak signal-to-noise ratio in decibels over all pixels and channels; infinite for equal pictures."""
    error = float(np.mean(np.square(pair.image - pair.reference)))
    return math.inf if error == 0 else 10 * math.log10(pair.data_range**2 / error)
