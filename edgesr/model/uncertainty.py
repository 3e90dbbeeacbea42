"""How what a network says about its own error becomes a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ErrorLink:
    """The scale of the error of a diffusion: ``sqrt(exp(offset) ** 2 * (g + floor) ** (2 * exponent) + d ** 2)``.

    ``g`` is the fine detail of the result, what a blur takes away, and ``d`` the deviation of the samples, 0 for one;
    both are root mean squares over ``window`` x ``window`` pixels of the large picture, whose range is 0 to 1.
    """

    offset: float
    exponent: float
    window: int = 5
    floor: float = 0.001

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ErrorLink:
        """Return the typed form of an object that satisfies the schema."""
        return cls(**{**document, **({"window": int(document["window"])} if "window" in document else {})})


@dataclass(frozen=True)
class NoiseRule:
    """By how much the noise of an input, which no network can guess, widens the bound.

    ``usual`` is the noise (``edgesr.image.noise``) of half of the inputs of the calibration, in [0, 1]; an input with
    more has ``scale' = sqrt(scale ** 2 + growth ** 2 * (noise ** 2 - usual ** 2))``.
    """

    usual: float
    growth: float


@dataclass(frozen=True)
class Uncertainty:
    """How the ``scale`` output, or the spread of samples, becomes an error bound, in the output's range.

    ``bound = factor * scale``; of a diffusion, the scale is what ``link`` makes of the samples, or their standard
    deviation where there is none. ``noise`` holds a rule for every downscaler that leaves another share of the noise.
    """

    factor: float
    coverage: float
    """Fraction of pixels inside the bound, on at least that fraction of pictures, when calibrated."""
    calibrated_on: str = ""
    link: ErrorLink | None = None
    noise: Mapping[str, NoiseRule] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Uncertainty:
        """Return the typed form of an object that satisfies the schema."""
        link = document.get("link")
        noise = {kernel: NoiseRule(**rule) for kernel, rule in (document.get("noise") or {}).items()}
        return cls(**{**document, "link": None if link is None else ErrorLink.from_json(link), "noise": noise})
