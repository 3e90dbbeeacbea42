"""Axes of plots: from numbers to pixels, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LOG_FROM = 8.0
"""Ratio of the largest to the least number from which an axis is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """Maps ``[low, high]`` onto ``[start, end]`` pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, may_be_log: bool = False) -> Axis:
        """Return the axis that shows all values with some room."""
        low, high = min(values), max(values)
        if may_be_log and low > 0 and high / low >= _LOG_FROM:
            room = (high / low) ** 0.08
            return cls(low / room, high * room, start, end, True)
        room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
        return cls(low - room if low - room > 0 or low <= 0 else low * 0.5, high + room, start, end, False)

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (math.log(x) if self.is_log else x for x in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def clipped(self, value: float) -> float:
        """Return the pixel of a value, at the end of the axis where it lies beyond."""
        return self.place(min(max(value, self.low), self.high))

    def ticks(self, most: int = 7) -> list[float]:
        """Return round numbers inside the axis, at most ``most``."""
        return self._log_ticks(most) if self.is_log else self._linear_ticks(most)

    def _linear_ticks(self, most: int) -> list[float]:
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= raw)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(n * step, 12) for n in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**n for n in range(first, last + 1) for step in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]
