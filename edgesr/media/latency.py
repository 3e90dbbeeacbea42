"""Percentiles of any number of durations in constant memory."""

from __future__ import annotations

import math

import numpy as np

_LOWEST = 1e-5
_GROWTH = 1.01
_BINS = math.ceil(math.log(1e8) / math.log(_GROWTH))


class Durations:
    """A histogram of seconds from 10 microseconds to a quarter of an hour, each bin 1 percent wider than the last."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._bins = np.zeros(_BINS + 1, np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        place = math.log(max(seconds, _LOWEST) / _LOWEST) / math.log(_GROWTH)
        self._bins[min(int(place), _BINS)] += 1

    def percentile(self, percent: float) -> float:
        """Return the seconds that ``percent`` of all durations do not exceed, to 1 percent; 0.0 without any."""
        if not self.count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._bins), math.ceil(self.count * percent / 100), side="left"))
        return min(_LOWEST * _GROWTH ** (place + 1), self.longest)

    def summary(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in milliseconds."""
        found = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)} | {"max": self.longest}
        return {name: round(seconds * 1e3, 3) for name, seconds in found.items()}
