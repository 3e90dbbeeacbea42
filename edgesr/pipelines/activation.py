"""From what a network gives to scores in [0, 1]."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgesr.types import FloatArray


def activated(logits: FloatArray, activation: Literal["softmax", "sigmoid", "none"], *, axis: int) -> FloatArray:
    """Return scores of float32 ``logits``, of any shape, whose classes lie along ``axis``."""
    if activation == "softmax":
        powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
        shares: FloatArray = powers / powers.sum(axis=axis, keepdims=True)
        return shares
    if activation == "sigmoid":
        # Of the two equal forms the one whose exponential cannot overflow.
        powers = np.exp(-np.abs(logits))
        scores: FloatArray = np.where(logits >= 0, 1 / (1 + powers), powers / (1 + powers)).astype(np.float32)
        return scores
    return logits
