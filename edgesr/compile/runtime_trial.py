"""ONNX Runtime against OpenVINO on one network and size, by a short measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter, sleep
from typing import Any

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
_AGREEING = 0.75
"""Share of the pairs that must say the same as their median."""
_ALIKE = (0.9, 1.1)
"""Ratios so near to one that it matters little which of the two is taken."""
_LEAST, _ROUNDS = 3, 15
_SECONDS = 1.0
_PATIENCE = 20.0
"""Seconds after which fewer pairs than the least must do."""
_PAUSE = 0.005


def compare_runtimes(first: Run, second: Run) -> Choice:
    """Time ONNX Runtime and OpenVINO in pairs on the same inputs.

    ONNX Runtime stays where OpenVINO fails or gives other numbers. OpenVINO compiles for a size in its second run. The
    ratio within a pair counts, so that other work on the machine meets both, and the median over the pairs.
    """
    run = {FIRST: first, SECOND: second}
    expected = _copies(first())
    try:
        difference = _difference(second(), expected)
        second()
    except EdgesrError as error:
        return Choice(FIRST, {}, None, f"OpenVINO is left out: {error}")
    begin = perf_counter()
    pairs: list[dict[str, float]] = []
    while _is_worth_another(len(pairs), perf_counter() - begin):
        order = (SECOND, FIRST) if len(pairs) % 2 else (FIRST, SECOND)
        pairs.append({name: _after_a_pause(run[name]) for name in order})
    times = {name: median(pair[name] for pair in pairs) * 1e3 for name in (FIRST, SECOND)}
    if not difference <= ROUNDING:
        reason = f"OpenVINO's numbers differ by {difference:.1e} of the largest, more than by rounding"
        return Choice(FIRST, times, difference, reason, len(pairs))
    ratios = [pair[SECOND] / pair[FIRST] for pair in pairs]
    ratio = median(ratios)
    is_faster = ratio < _MARGIN
    share = sum((one < _MARGIN) == is_faster for one in ratios) / len(ratios)
    if share >= _AGREEING or _ALIKE[0] <= ratio <= _ALIKE[1]:
        return Choice(SECOND if is_faster else FIRST, times, difference, None, len(pairs))
    reason = f"in {share:.0%} of {len(pairs)} pairs alone, as other work disturbed them; measured again next time"
    return Choice(FIRST, times, difference, reason, len(pairs), is_sure=False)


def _is_worth_another(pairs: int, seconds: float) -> bool:
    """Tell whether another pair is to be timed after so many in so many seconds."""
    if pairs < _LEAST:
        return pairs == 0 or seconds < _PATIENCE
    return pairs < _ROUNDS and seconds < _SECONDS


def _after_a_pause(action: Callable[[], Any]) -> float:
    sleep(_PAUSE)  # lets the other's threads fall asleep
    return _seconds(action)


def _seconds(action: Callable[[], Any]) -> float:
    start = perf_counter()
    action()
    return perf_counter() - start


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
