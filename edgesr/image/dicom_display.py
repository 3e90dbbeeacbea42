"""Turn stored DICOM values into display values, as PS3.3 C.11.1 (modality LUT) and C.11.2 (VOI LUT) define them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgesr.types import Array


@dataclass(frozen=True)
class LookUp:
    """Hold one LUT of a data set: its first mapped value, the bits of its entries and the entries, uint16 ``(N,)``."""

    first: int
    bits: int
    entries: Array

    def __call__(self, values: Array) -> Array:
        """Return the entries for values, those outside taking the first or the last entry.

        A first value that was written unsigned, as many files do, is negative where values are.
        """
        first = self.first - 65536 if self.first > 32767 and values.min() < 0 else self.first
        places = np.clip(np.rint(values) - first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[places], np.float64)


@dataclass(frozen=True)
class Window:
    """Hold a window in modality units: centre, width and the function LINEAR, LINEAR_EXACT or SIGMOID."""

    centre: float
    width: float
    function: str = "LINEAR"

    @property
    def is_valid(self) -> bool:
        """Return whether the width is one that the function allows."""
        least = self.width >= 1 if self.function == "LINEAR" else self.width > 0
        return least and math.isfinite(self.centre) and math.isfinite(self.width)

    def __call__(self, values: Array) -> Array:
        """Return values mapped to [0, 1]."""
        if self.function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - self.centre) / self.width, -700, 700))))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.centre) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return np.asarray(values > self.centre - 0.5, np.float64)
        return np.clip((values - (self.centre - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True)
class Display:
    """Hold what leads from stored values to the display; without a window the full range of the stored bits is shown.

    ``modality`` replaces ``slope`` and ``intercept``, ``voi`` replaces ``window``, where a data set has them.
    """

    bits: int
    is_signed: bool
    is_inverted: bool
    slope: float = 1.0
    intercept: float = 0.0
    modality: LookUp | None = None
    voi: LookUp | None = None
    window: Window | None = None

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Return uint8 for up to 8 stored bits, else uint16."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    def table(self) -> Array:
        """Return the display value of each stored value, from the least to the greatest, ``(2 ** bits,)``."""
        stored = np.arange(1 << self.bits, dtype=np.float64) - (1 << self.bits - 1 if self.is_signed else 0)
        values = self.modality(stored) if self.modality else stored * self.slope + self.intercept
        if self.voi:
            shown = np.clip(self.voi(values) / ((1 << self.voi.bits) - 1), 0, 1)
        elif self.window and self.window.is_valid:
            shown = self.window(values)
        else:
            low, high = values.min(), values.max()
            shown = (values - low) / (high - low or 1)
        if self.is_inverted:
            shown = 1 - shown
        full = 255 if self.bits <= 8 else 65535
        return np.asarray(np.rint(shown * full), self.dtype)


def apply_table(table: Array, stored: Array, bits: int, is_signed: bool) -> Array:
    """Return display values for integers of any shape; bits above the stored ones are ignored."""
    half = 1 << bits - 1 if is_signed else 0
    places = stored.astype(np.int32)
    places += half
    places &= (1 << bits) - 1
    return np.asarray(table[places])
