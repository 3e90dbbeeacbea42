"""ONNX Runtime against OpenVINO on one network and size, by a short measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from time import perf_counter, sleep

import numpy as np

from edgesr.compile.choices import Choice
from edgesr.engines.base import Buffer
from edgesr.errors import EdgesrError
from edgesr.types import Array

Run = Callable[[], Mapping[str, Buffer]]
FIRST, SECOND = "onnxruntime", "openvino"
ROUNDING = 5e-5
"""Largest difference between the two, relative to the largest value: more is not rounding, and decides against it."""
_MARGIN = 0.97
"""OpenVINO's time over ONNX Runtime's from which it is not worth a change."""
_LEAST, _CLEAR, _ROUNDS = 3, 5, 15
_ALIKE = (0.9, 1.1)
"""Ratios so near to one that it matters little which of the two is taken."""
_SECONDS, _PAIRS, _PATIENCE = 1.0, 8, 12.0
"""The measurement lasts at most so long or so many pairs, whichever is longer, and never longer than the last."""
_WORTH_SAYING = 2.0
_PAUSE = 0.005


def compare_runtimes(
    first: Run, second: Run, note: Callable[[str], None], rest: Callable[[str], None] | None = None
) -> Choice:
    """Time ONNX Runtime and OpenVINO in pairs on the same inputs.

    ``rest``, if given, makes a runtime give back its memory before the other one runs, where both at once might be more
    than there is; a run that has to allocate it again is not timed.

    ONNX Runtime stays where OpenVINO fails or gives other numbers. OpenVINO compiles for a size in its second run. The
    pairs end as soon as all of them lie on one side. The fastest third of the runs of each decides; where the medians
    say otherwise, the choice says so and is not sure. ``note`` is told before a measurement that takes long.
    """
    turns = _Turns({FIRST: first, SECOND: second}, rest)
    begin = perf_counter()
    expected = _copies(turns.run(FIRST))
    try:
        difference = _difference(turns.run(SECOND), expected)
        turns.run(SECOND)
    except EdgesrError as error:
        return Choice(FIRST, {}, None, f"OpenVINO is left out: {error}")
    if not difference <= ROUNDING:
        reason = f"OpenVINO's numbers differ by {difference:.1e} of the largest, more than by rounding"
        return Choice(FIRST, {}, difference, reason)
    pairs: list[dict[str, float]] = []
    started = perf_counter()
    while _is_worth_another(pairs, perf_counter() - started):
        order = (FIRST, SECOND) if len(pairs) % 2 else (SECOND, FIRST)
        pairs.append({name: turns.seconds(name) for name in order})
        if len(pairs) == 1 and (left := _budget(pairs) - (perf_counter() - started)) > _WORTH_SAYING:
            note(f"measuring ONNX Runtime against OpenVINO, once and for {left:.0f} s at most")
    return replace(_decided(pairs, difference), pairs=len(pairs), seconds=round(perf_counter() - begin, 3))


class _Turns:
    """Two runtimes, of which one has memory at a time where ``rest`` is given."""

    def __init__(self, runs: Mapping[str, Run], rest: Callable[[str], None] | None) -> None:
        self._runs, self._rest = runs, rest
        self._active = FIRST

    def run(self, name: str) -> Mapping[str, Buffer]:
        """Run one of the two, after the other has given back its memory."""
        if self._rest is not None and name != self._active:
            self._rest(self._active)
        self._active = name
        return self._runs[name]()

    def seconds(self, name: str) -> float:
        """Time a run, after an untimed one where its memory was given back."""
        if self._rest is not None and name != self._active:
            self.run(name)
        sleep(_PAUSE)  # lets the other's threads fall asleep
        start = perf_counter()
        self.run(name)
        return perf_counter() - start


def _is_worth_another(pairs: list[dict[str, float]], seconds: float) -> bool:
    """Tell whether another pair is to be timed after these in so many seconds."""
    if not pairs:
        return True
    if seconds + _quickest(pairs) > (_PATIENCE if len(pairs) < _LEAST else _budget(pairs)):
        return False
    return len(pairs) < _LEAST or (len(pairs) < _ROUNDS and not _is_clear(_ratios(pairs)))


def _budget(pairs: list[dict[str, float]]) -> float:
    """Return the seconds that pairs like these may take."""
    return min(max(_SECONDS, _PAIRS * _quickest(pairs)), _PATIENCE)


def _quickest(pairs: list[dict[str, float]]) -> float:
    return min(sum(pair.values()) for pair in pairs)


def _is_clear(ratios: list[float]) -> bool:
    """Tell whether all pairs lie on one side of the margin, and are too many for a burst of other work."""
    return len(ratios) >= _CLEAR and (max(ratios) < _MARGIN or min(ratios) > _MARGIN)


def _decided(pairs: list[dict[str, float]], difference: float) -> Choice:
    quiet = {name: _quiet([pair[name] for pair in pairs]) for name in (FIRST, SECOND)}
    middle = {name: median(pair[name] for pair in pairs) for name in (FIRST, SECOND)}
    times = {name: value * 1e3 for name, value in quiet.items()}
    ratio, ratio_of_medians = (one[SECOND] / one[FIRST] for one in (quiet, middle))
    name = SECOND if ratio < _MARGIN else FIRST
    is_alike = all(_ALIKE[0] <= one <= _ALIKE[1] for one in (ratio, ratio_of_medians))
    if is_alike or (ratio < _MARGIN) == (ratio_of_medians < _MARGIN):
        close = f"less than {1 - _MARGIN:.0%} faster, not worth a change" if _MARGIN <= ratio < 1 else None
        return Choice(name, times, difference, close)
    reason = (
        f"the fastest thirds of the runs, as other work disturbed the medians of {middle[FIRST] * 1e3:.4g} and "
        f"{middle[SECOND] * 1e3:.4g} ms, which say otherwise"
    )
    return Choice(name, times, difference, reason, is_sure=False)


def _quiet(seconds: list[float]) -> float:
    """Return the mean of the fastest third, which other work on the machine disturbs least."""
    fastest = sorted(seconds)[: (len(seconds) + 2) // 3]
    return sum(fastest) / len(fastest)


def _ratios(pairs: list[dict[str, float]]) -> list[float]:
    return [pair[SECOND] / pair[FIRST] for pair in pairs]


def _copies(buffers: Mapping[str, Buffer]) -> dict[str, Array]:
    return {name: np.array(buffer.numpy()) for name, buffer in buffers.items()}


def _difference(found: Mapping[str, Buffer], expected: Mapping[str, Array]) -> float:
    """Return the largest difference of any output, relative to its largest value; infinite for other shapes or NaN."""
    worst = 0.0
    for name, reference in expected.items():
        values = found[name].numpy()
        if values.shape != reference.shape or values.dtype != reference.dtype:
            return float("inf")
        if reference.dtype.kind != "f":
            worst = max(worst, 0.0 if np.array_equal(values, reference) else float("inf"))
            continue
        distance = float(np.max(np.abs(values.astype(np.float64) - reference), initial=0.0))
        peak = float(np.max(np.abs(reference), initial=0.0))
        worst = max(worst, distance / peak if peak else distance) if np.isfinite(distance) else float("inf")
    return worst
