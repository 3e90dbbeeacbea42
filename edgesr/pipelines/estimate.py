"""Estimate from a picture which of a model's downscalers made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgesr.image.bands import band_energies
from edgesr.types import Array


def estimate_shares(estimator: Mapping[str, Any] | None, pixels: Array) -> dict[str, float] | None:
    """Return the probability of every downscaler of an ``estimator`` (``degradation`` in model.json); the sum is 1.

    ``pixels`` is ``(H, W, C)``, uint8, uint16 or float in [0, 1]. None without an estimator, and for a picture smaller
    than 32 pixels or without texture.
    """
    energies = None if estimator is None else band_energies(pixels)
    if estimator is None or energies is None:
        return None
    normal = (energies - np.asarray(estimator["mean"])) / np.asarray(estimator["deviation"])
    logits = np.asarray(estimator["weights"]) @ normal + np.asarray(estimator["bias"])
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return dict(zip(estimator["kernels"], shares.tolist(), strict=True))
