"""Whether samples can be trusted: their spread, and whether they slowed down on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edgesr.bench.statistics import Summary
from edgesr.bench.timing import LEAST

_PARTS = 4


@dataclass(frozen=True)
class Limits:
    """What makes a run invalid."""

    cv: float = 0.1
    """Coefficient of variation of the end-to-end time."""
    drift: float = 0.1
    """Share by which the last quarter's median may be slower than the first quarter's."""


def find_faults(samples: Sequence[float], pictures: Sequence[int], limits: Limits) -> list[str]:
    """Say why samples of end-to-end times are not to be trusted, one line for each reason.

    Each sample is divided by the median of its picture, so that pictures of several sizes count as one.
    """
    if len(samples) < LEAST:
        return [f"only {len(samples)} pictures were timed, at least {LEAST} are needed; give a longer --duration"]
    even = _without_sizes(samples, pictures)
    faults = []
    spread = Summary.of(even).cv
    if spread > limits.cv:
        faults.append(
            f"unstable: the coefficient of variation is {spread:.1%}, above {limits.cv:.0%}; stop other programs, "
            "fix the clocks, or allow more with --max-cv"
        )
    quarter = len(even) // _PARTS
    if quarter >= LEAST:
        first, last = median(even[:quarter]), median(even[-quarter:])
        if last > first * (1 + limits.drift):
            faults.append(
                f"slowed down by {last / first - 1:.0%} between the first and the last quarter of the run, as a "
                "machine does that throttles or gets other work"
            )
    return faults


def _without_sizes(samples: Sequence[float], pictures: Sequence[int]) -> list[float]:
    groups: dict[int, list[float]] = {}
    for sample, picture in zip(samples, pictures, strict=True):
        groups.setdefault(picture, []).append(sample)
    levels = {picture: median(group) or 1.0 for picture, group in groups.items()}
    return [sample / levels[picture] for sample, picture in zip(samples, pictures, strict=True)]
