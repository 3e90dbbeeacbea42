"""Timing of alternatives in turn, and the statistics that are reported about the samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any

import numpy as np

_LEAST = 5


@dataclass(frozen=True)
class Summary:
    """Median and spread of samples, in their unit."""

    n: int
    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    minimum: float
    maximum: float

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """Write the median with the quartiles, multiplied by ``scale``."""
        median, low, high = (f"{value * scale:.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median} ({low} - {high})"

    def range_text(self, scale: float = 1.0, digits: int = 2) -> str:
        """Write the median with the extremes, multiplied by ``scale``."""
        median, low, high = (f"{value * scale:.{digits}f}" for value in (self.median, self.minimum, self.maximum))
        return f"{median} [{low} - {high}]"


def summarize(samples: Sequence[float]) -> Summary:
    """Return median, quartiles (linear interpolation between samples) and extremes."""
    if not samples:
        raise ValueError("no samples")
    low, median, high = np.percentile(np.asarray(samples, np.float64), [25, 50, 75])
    return Summary(len(samples), float(median), float(low), float(high), float(min(samples)), float(max(samples)))


def ratios(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Return ``first / second`` of every pair, so that what slowed both down cancels."""
    if len(first) != len(second):
        raise ValueError(f"pairs need as many samples of each, got {len(first)} and {len(second)}")
    return [a / b for a, b in zip(first, second, strict=True)]


def alternate(
    actions: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    warmup: int = 1,
    pause: float = 0.05,
    clock: Callable[[], float] = perf_counter,
    seconds: float = math.inf,
) -> dict[str, list[float]]:
    """Time every action once per round, in an order that turns by one place each round; return seconds by name.

    ``warmup`` rounds are not counted. ``pause`` seconds before each run let the threads of the run before fall asleep:
    those of ONNX Runtime wait for the next one at full speed for about 25 ms. After ``seconds`` no round is begun
    beyond the fifth.
    """
    names = list(actions)
    samples: dict[str, list[float]] = {name: [] for name in names}
    begin = perf_counter()
    for index in range(-warmup, rounds):
        if index >= _LEAST and perf_counter() - begin > seconds:
            break
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            if pause:
                sleep(pause)
            start = clock()
            actions[name]()
            spent = clock() - start
            if index >= 0:
                samples[name].append(spent)
    return samples
