"""How fast an engine is on this GPU, to choose between candidates; too short for a published figure."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np

from edgesr.engines.base import TensorSpec
from edgesr.engines.trt import TrtBackend

_WARM_RUNS = 3
_LEAST_RUNS = 10
_MOST_RUNS = 200
_SECONDS = 0.5


def engine_time(backend: TrtBackend, plan: Path, shapes: dict[str, tuple[int, ...]]) -> float:
    """Return the median of milliseconds that one run takes on the GPU, without transfers, for ``shapes``.

    Inputs that ``shapes`` leaves out have fixed sizes. All hold zeros.
    """
    engine = backend.load(plan)
    try:
        inputs = {}
        for name, spec in engine.inputs.items():
            shape = shapes.get(name) or _fixed(spec)
            inputs[name] = backend.empty(shape, spec.dtype)
            inputs[name].copy_from(np.zeros(shape, spec.dtype))
        outputs = engine.run(inputs)
        for _ in range(_WARM_RUNS):
            engine.run(inputs, outputs)
        backend.synchronize()
        times: list[float] = []
        end = monotonic() + _SECONDS
        while len(times) < _LEAST_RUNS or (len(times) < _MOST_RUNS and monotonic() < end):
            start = backend.stream.record(timing=True)
            engine.run(inputs, outputs)
            stop = backend.stream.record(timing=True)
            times.append(stop - start)
            start.close()
            stop.close()
        return median(times)
    finally:
        engine.close()


def _fixed(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(max(n, 1) for n in spec.shape)
