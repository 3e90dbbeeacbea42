"""How what a network says about its own error becomes a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorLink:
    """The scale of the error of a diffusion: ``sqrt(exp(offset) ** 2 * (g + floor) ** (2 * exponent) + d ** 2)``.

    ``g`` is the fine detail of the result, what a blur takes away, and ``d`` the deviation of the samples, 0 for one;
    both are root mean squares over ``window`` x ``window`` pixels of the large picture, whose range is 0 to 1.

    ``noise`` is how noisy the inputs of the calibration were (``edgesr.image.noise``), but for the noisiest of them.
    The scale of an input with k times as much noise is k times as large: a network cannot guess noise.
    """

    offset: float
    exponent: float
    window: int = 5
    floor: float = 0.001
    noise: float | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ErrorLink:
        """Return the typed form of an object that satisfies the schema."""
        return cls(**{**document, **({"window": int(document["window"])} if "window" in document else {})})


@dataclass(frozen=True)
class Uncertainty:
    """How the ``scale`` output, or the spread of samples, becomes an error bound, in the output's range.

    ``bound = factor * scale``; of a diffusion, the scale is what ``link`` makes of the samples, or their standard
    deviation where there is none.
    """

    factor: float
    coverage: float
    """Fraction of pixels inside the bound, on at least that fraction of pictures, when calibrated."""
    calibrated_on: str = ""
    link: ErrorLink | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Uncertainty:
        """Return the typed form of an object that satisfies the schema."""
        link = document.get("link")
        return cls(**{**document, "link": None if link is None else ErrorLink.from_json(link)})
