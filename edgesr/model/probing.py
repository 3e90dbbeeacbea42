"""Learn what an ONNX file does not say by running it: scale, sizes, value range."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesr.errors import EdgesrError, ModelError
from edgesr.types import Array

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""One network: input arrays by name to output arrays by name."""
Range = tuple[float, float]
Doubles = npt.NDArray[np.float64]

RANGES: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 3, 6, 12, 24, 48, 96, 5, 10, 20, 40, 7, 14, 28, 56)
_MINIMA = (4, 8, 16, 32)
PROBE = 64
BORDER = 8
_TRACKS = 0.1
"""Largest error, as a fraction of the value range, of an output that still follows the input."""
_CONTRAST = 0.8, 1.25
"""How much of the contrast an output that follows its input keeps; other values mean another range, or mean and std."""
_CLEARLY = 1.25, 1e-3
"""By which factor and amount a range must fit better than [0, 1] to be chosen over it."""


@dataclass(frozen=True)
class Probe:
    """A network with one image input and one image output, run on pictures ``(h, w)``, equal in all channels."""

    run: Run
    image: str
    output: str
    layout: str
    channels: int
    dtype: str
    others: Mapping[str, tuple[tuple[int, ...], str]]
    """Shape and dtype of the remaining inputs, which are set to zero."""

    def __call__(self, picture: Doubles) -> Doubles:
        """Return the output's float64 ``(H, W, C)`` for a picture in the network's own range."""
        stacked = np.stack([picture] * self.channels, axis=0 if self.layout == "NCHW" else 2)[None]
        values = np.rint(stacked) if self.dtype == "uint8" else stacked
        feeds = {self.image: np.ascontiguousarray(values.astype(self.dtype))}
        feeds.update({name: np.zeros(*spec) for name, spec in self.others.items()})
        result: Doubles = np.array(self.run(feeds)[self.output], np.float64)
        if result.ndim != 4 or result.shape[0] != 1:
            raise ModelError(f"the output {self.output!r} has shape {list(result.shape)}, an image has 4 dimensions")
        first: Doubles = result[0]
        return first.transpose(1, 2, 0) if self.layout == "NCHW" else first

    def works(self, h: int, w: int, scale: int) -> bool:
        """Tell whether the network runs at ``(h, w)`` and returns ``(h * scale, w * scale)``."""
        try:
            return self(np.full((h, w), 0.5)).shape[:2] == (h * scale, w * scale)
        except Exception:
            return False

    def repeats(self, h: int, w: int) -> bool:
        """Tell whether the network returns the same for the same picture."""
        picture = smooth_picture(h, w)
        return np.array_equal(self(picture), self(picture), equal_nan=True)


def find_scale(probe: Probe, fixed: tuple[int, int] | None) -> tuple[int, int]:
    """Return scale and number of output channels, measured at one size."""
    problem: Exception | None = None
    for h, w in [fixed] if fixed else [(PROBE, PROBE), (256, 256), (96, 96), (224, 224), (120, 120)]:
        try:
            shape = probe(np.full((h, w), 0.5)).shape
            return whole_scale((h, w), (shape[0], shape[1])), shape[2]
        except Exception as error:  # whatever a backend raises, the next size may work
            problem = error
    if isinstance(problem, EdgesrError):
        raise problem
    reason = " ".join(str(problem).split())[:200]
    raise ModelError(f"the network fails on every picture size that was tried: {reason}")


def whole_scale(size: tuple[int, int], result: tuple[int, int]) -> int:
    """Return the factor between two ``(height, width)`` pairs, which must be a whole one."""
    scale = result[0] // size[0]
    if not 1 <= scale <= 64 or result != (size[0] * scale, size[1] * scale):
        raise ModelError(
            f"the network makes {result[0]} x {result[1]} of {size[0]} x {size[1]}, which is not a whole scale; "
            "edgesr needs padding that keeps the size"
        )
    return scale


def find_sizes(probe: Probe, scale: int, is_safe: Callable[[int], bool]) -> tuple[int, int]:
    """Return the smallest multiple and minimum, in pixels, that the sides must have; sides are tried unequal.

    Sides below 60 pixels are tried only where ``is_safe`` says so.
    """
    for multiple in _MULTIPLES:
        odd = max(PROBE // multiple - 1, 1) | 1
        if probe.works(odd * multiple, (odd + 2) * multiple, scale):
            for minimum in _MINIMA:
                side = -(-minimum // multiple) * multiple
                if is_safe(side) and probe.works(side, side, scale):
                    return multiple, 1 if minimum == _MINIMA[0] else side
            return multiple, odd * multiple
    raise ModelError(
        "the network runs at none of the picture sizes that were tried; export it with dynamic or fixed sizes"
    )


def smooth_picture(h: int, w: int) -> Doubles:
    """Draw a smooth picture in 0.1 .. 0.9: a ramp, slow waves and a bright disk, float64 ``(h, w)``."""
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    waves = 0.15 * np.sin(7 * x + 3 * y) * np.cos(5 * y) + 0.3 * (x + y) - 0.3
    disk = 0.25 / (1 + np.exp(40 * (np.hypot(y - 0.5 * h / max(h, w), x - 0.5 * w / max(h, w)) - 0.25)))
    picture: Doubles = np.clip(0.4 + waves + disk, 0.1, 0.9)
    return picture


def find_range(
    probe: Probe, size: tuple[int, int], scale: int, candidates: tuple[Range, ...]
) -> tuple[Range, Range, bool]:
    """Return input and output range: those with which the output follows a grey field and a smooth picture best.

    A network that follows [0, 1] and [-1, 1] alike is taken for the latter where its output stops at -1 and 1, as that
    of a tanh does, else for the former; then the last value tells that it may be otherwise.
    """
    fits = {}
    for low, high in candidates:
        for output_range, error in _errors(probe, size, scale, (low, high), is_given=len(candidates) == 1):
            fits[(low, high), output_range] = error
    best = min(fits, key=lambda pair: fits[pair])
    unit, signed = ((given, given) for given in (RANGES[0], RANGES[2]))
    if unit in fits and fits[unit] <= fits[best] * _CLEARLY[0] + _CLEARLY[1]:
        best = unit
    if not fits[best] <= _TRACKS:
        raise ModelError(
            "its output follows the input in no known value range; give the range, e.g. --range 0,255, and where "
            "it takes a mean and a deviation, these with edgesr pack --descriptor"
        )
    if best != unit or not fits.get(signed, np.inf) <= _TRACKS:
        return *best, False
    return (*signed, False) if _stops_at(probe, size, *RANGES[2]) else (*unit, True)


def _stops_at(probe: Probe, size: tuple[int, int], low: float, high: float) -> bool:
    """Tell whether the output of a field far outside of ``low`` .. ``high`` stays at these limits."""
    reached = (float(np.median(probe(np.full(size, 4 * limit)))) for limit in (low, high))
    return all(abs(value - limit) < _TRACKS / 2 for value, limit in zip(reached, (low, high), strict=True))


def _errors(
    probe: Probe, size: tuple[int, int], scale: int, given: Range, *, is_given: bool
) -> list[tuple[Range, float]]:
    """Return the error of every output range for pictures in one input range, as a fraction of the output range."""
    h, w = size
    border = min(BORDER, h // 4, w // 4)
    inner = (slice(border, h - border), slice(border, w - border))
    worst = dict.fromkeys(RANGES, 0.0)
    for picture in (np.full(size, 0.5), smooth_picture(h, w)):
        result = probe(picture * (given[1] - given[0]) + given[0])
        small = result.reshape(h, scale, w, scale, -1).mean(axis=(1, 3, 4))[inner]
        for low, high in RANGES:
            pixels = (small - low) / (high - low)
            error = float(np.sqrt(np.mean((pixels - picture[inner]) ** 2)))
            follows = np.isfinite(error) and (is_given or _keeps_contrast(pixels, picture[inner]))
            worst[low, high] = max(worst[low, high], error if follows else np.inf)
    return list(worst.items())


def _keeps_contrast(pixels: Doubles, picture: Doubles) -> bool:
    """Tell whether the regression of ``pixels`` on ``picture`` has a slope of about one; a flat picture has none."""
    deviation = picture - picture.mean()
    if not deviation.any():
        return True
    slope = float((pixels * deviation).sum() / (deviation**2).sum())
    return _CONTRAST[0] <= slope <= _CONTRAST[1]
