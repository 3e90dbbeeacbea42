"""What this machine reaches at best: a large matrix product in the same runtime, and copies in memory."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from edgesr.bench.timing import Clock
from edgesr.engines.base import Backend
from edgesr.types import Array

# y = MatMul(a, b) on float32 matrices of any size, opset 13.
_NETWORK = (
    "CAg6YQoRCgFhCgFiEgF5IgZNYXRNdWwSB3Byb2R1Y3RaFQoBYRIQCg4IARIKCgMSAW0KAxIBa1oVCgFiEhAKDggBEgoKAxIBawoDEgFuYhUKAXkS"
    "EAoOCAESCgoDEgFtCgMSAW5CBAoAEA0="
)
SIDE = 1536
"""Rows and columns of the matrices."""
_SECONDS = 0.5
_LEAST = 3
_COPY_BYTES = 128 << 20
"""Of each array; far more than processors keep in their caches."""


@dataclass(frozen=True)
class Peaks:
    """The best of several tries."""

    operations: float
    """Per second, two for each multiply-add, of a float32 product of two ``SIDE`` x ``SIDE`` matrices."""
    bandwidth: float
    """Bytes per second, read and written, of copies from array to array on all threads."""


def measure_peaks(backend: Backend, threads: int, *, clock: Clock = perf_counter) -> Peaks:
    """Measure both, about a second each."""
    return Peaks(_product(backend, clock), _copies(threads, clock))


def _product(backend: Backend, clock: Clock) -> float:
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        path = Path(folder) / "product.onnx"
        path.write_bytes(base64.b64decode(_NETWORK))
        engine = backend.load(path)
        try:
            values = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
            inputs = {name: backend.empty(values.shape, values.dtype) for name in ("a", "b")}
            for buffer in inputs.values():
                buffer.copy_from(values)
            outputs = {"y": backend.empty(values.shape, values.dtype)}

            def run() -> None:
                engine.run(inputs, outputs)
                backend.synchronize()

            best = _best(run, clock)
        finally:
            engine.close()
    return 2 * SIDE**3 / best


def _copies(threads: int, clock: Clock) -> float:
    source: Array = np.ones(_COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    parts = [slice(i * _COPY_BYTES // threads, (i + 1) * _COPY_BYTES // threads) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def run() -> None:
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

        best = _best(run, clock)
    return 2 * _COPY_BYTES / best


def _best(run: Callable[[], object], clock: Clock) -> float:
    """Return the fewest seconds of a run, of at least three runs and half a second."""
    run()
    end = clock() + _SECONDS
    best, count = float("inf"), 0
    while count < _LEAST or clock() < end:
        start = clock()
        run()
        best = min(best, clock() - start)
        count += 1
    return best
