"""The part of an error that is the input's noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgesr.image.noise import noise_level
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.uncertainty import NoiseRule
from edgesr.types import Array, FloatArray

LIKELY = 0.05
"""Share from which a downscaler may well have made an input."""


def kernel_shares(descriptor: ModelDescriptor, controls: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
    """Return how much of a picture is taken for the work of each downscaler, by the control that says so.

    Where no control does, it is all the package's own.
    """
    degradation = descriptor.degradation or {}
    for name, control in descriptor.controls.items():
        if control.estimated:
            return dict(zip(degradation["estimator"]["kernels"], controls[name], strict=True))
    return {str(degradation.get("kernel")): 1.0}


def unusual_noise(descriptor: ModelDescriptor, shares: Mapping[str, float], pixels: Array) -> float:
    """Return the scale of the error, in [0, 1], that an input has for being noisier than those of the calibration.

    ``pixels`` is ``(h, w, C)``, uint8, uint16 or float in [0, 1], without alpha; ``shares`` are those of the
    downscalers that may have made it. One without a rule is taken for the package's own. 0 where there are no rules.
    """
    rules = descriptor.uncertainty.noise if descriptor.uncertainty else {}
    if not rules:
        return 0.0
    own = str((descriptor.degradation or {}).get("kernel"))
    ruled: dict[str, float] = {}
    for kernel, share in shares.items():
        name = kernel if kernel in rules else own
        ruled[name] = ruled.get(name, 0.0) + share
    return noise_scale(rules, ruled, noise_level(pixels))


def noise_scale(rules: Mapping[str, NoiseRule], shares: Mapping[str, float], level: float) -> float:
    """Return the scale of the error, in [0, 1], that rules see in a noise of ``level``.

    It is the largest of those of the downscalers that may well have made the input: noise is what the estimate of the
    shares confuses. A downscaler without a rule has 0.
    """
    found = (
        rules[kernel].growth * math.sqrt(max(0.0, level**2 - rules[kernel].usual ** 2))
        for kernel, share in shares.items()
        if kernel in rules and share >= LIKELY
    )
    return max(found, default=0.0)


def widen(scale: FloatArray, excess: float, out: FloatArray | None = None) -> FloatArray:
    """Return the scale of an error, float32 ``(h, W)`` in [0, 1], to which an independent one of ``excess`` comes.

    It is written into ``out`` where that is given, such as ``scale`` itself.
    """
    return np.asarray(np.hypot(scale, np.float32(excess), out=out), np.float32) if excess else scale
