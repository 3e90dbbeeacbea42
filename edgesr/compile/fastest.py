"""The CPU with whichever of ONNX Runtime and OpenVINO is faster for a network, found by measuring both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from edgesr.compile.choices import Choice, ChoiceStore
from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.engines.ort import OrtBackend
from edgesr.engines.ort_buffers import HostBuffer
from edgesr.errors import BackendError, EdgesrError, OutOfMemoryError
from edgesr.types import Array

FIRST, SECOND = "onnxruntime", "openvino"
WORTH = 1.0
"""Seconds of work after which a measurement pays: about what opening the other runtime takes."""
ROUNDING = 5e-5
"""Largest difference between the two, relative to the largest value: more is not rounding, and decides against it."""
_MARGIN = 0.97
_ROUNDS = 10
_SECONDS = 1.0
_PAUSE = 0.005


class FastestCpu:
    """ONNX Runtime until a network has computed for a second, then the faster of it and OpenVINO.

    What was measured is kept for the next time. ``note`` is told what is chosen. The two differ by rounding; where they
    differ by more, ONNX Runtime stays.
    """

    def __init__(
        self,
        *,
        threads: int | None,
        store: ChoiceStore,
        note: Callable[[str], None],
        backends: Mapping[str, Callable[[], Backend]] | None = None,
        worth: float = WORTH,
    ) -> None:
        if threads is not None and threads < 1:
            raise BackendError(f"threads must be at least 1, got {threads}")
        self._openers = backends or {FIRST: partial(OrtBackend, threads=threads), SECOND: partial(_openvino, threads)}
        self._opened: dict[str, Backend] = {}
        self._store = store
        self._note = note
        self._worth = worth

    @property
    def name(self) -> str:
        """``auto:cpu``: which runtime it is differs from network to network."""
        return "auto:cpu"

    @property
    def is_asynchronous(self) -> bool:
        """False: a run has ended when it returns."""
        return False

    def load(self, path: Path) -> FastestEngine:
        """Open an ONNX file in the runtime that was the faster one for it so far."""
        return FastestEngine(lambda name: self._backend(name).load(path), path, self._store, self._note, self._worth)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate host memory, which both read and write."""
        try:
            return HostBuffer(np.empty(shape, dtype))
        except MemoryError:
            raise OutOfMemoryError(f"no memory for a buffer of shape {shape}, {dtype}") from None

    def synchronize(self) -> None:
        """Return at once: runs have ended when they return."""

    def close(self) -> None:
        """Close what was opened."""
        for backend in self._opened.values():
            backend.close()
        self._opened.clear()

    def _backend(self, name: str) -> Backend:
        if name not in self._opened:
            self._opened[name] = self._openers[name]()
        return self._opened[name]


class FastestEngine:
    """One network, in the runtime that is faster at the size of its inputs."""

    def __init__(
        self,
        open_engine: Callable[[str], Engine],
        path: Path,
        store: ChoiceStore,
        note: Callable[[str], None],
        worth: float,
    ) -> None:
        self._open = open_engine
        self._file_name = path.name
        self._kept = store.of(path)
        self._note = note
        self._worth = worth
        self._engines: dict[str, Engine] = {}
        self._spent: dict[int, float] = dict.fromkeys(self._kept.pending, worth)
        self._is_closed = False
        known = {choice.name for choice in self._kept.choices.values()}
        first = self._engine(known.pop() if len(known) == 1 else FIRST)
        self._inputs, self._outputs = first.inputs, first.outputs

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name."""
        return self._outputs

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        """Run once; see Engine.run."""
        if self._is_closed:
            raise BackendError(f"{self._file_name} is closed")
        bucket = sum(int(np.prod(buffer.shape)) for buffer in inputs.values()).bit_length()
        choice = self._kept.choices.get(bucket)
        if choice is None and self._spent.get(bucket, 0.0) >= self._worth:
            choice = self._measure(inputs, outputs)
            self._kept.keep(bucket, choice)
            self._close_unused()
            self._note(f"{_named(self._file_name)}: {choice.sentence()}")
        name = choice.name if choice else self._nearest(bucket)
        start = perf_counter()
        result = self._engine(name).run(inputs, outputs)
        if choice is None:
            before = self._spent.get(bucket, 0.0)
            self._spent[bucket] = before + perf_counter() - start
            if before < self._worth <= self._spent[bucket]:
                self._kept.want(bucket)
        return result

    def close(self) -> None:
        """Free both."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
        self._is_closed = True

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._open(name)
        return self._engines[name]

    def _close_unused(self) -> None:
        """Free the memory of a runtime that no known size takes."""
        taken = {choice.name for choice in self._kept.choices.values()}
        for name in [name for name in self._engines if name not in taken]:
            self._engines.pop(name).close()

    def _nearest(self, bucket: int) -> str:
        """Return what is faster at the most similar size that is known."""
        known = self._kept.choices
        return known[min(known, key=lambda other: abs(other - bucket))].name if known else FIRST

    def _measure(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None) -> Choice:
        """Time both in turn on these inputs; ONNX Runtime stays where OpenVINO fails or gives other numbers.

        OpenVINO compiles for this size in its second run. Runs of seconds are timed once.
        """
        run = {name: partial(self._run_one, name, inputs, outputs) for name in (FIRST, SECOND)}
        begin = perf_counter()
        samples = {FIRST: [_seconds(run[FIRST])], SECOND: []}
        expected = _copies(run[FIRST]()) if outputs is None else _copies(outputs)
        try:
            difference = _difference(run[SECOND](), expected)
            run[SECOND]()
        except EdgesrError as error:
            return Choice(FIRST, {}, None, f"OpenVINO is left out: {error}")
        while not samples[SECOND] or (perf_counter() - begin < _SECONDS and len(samples[FIRST]) < _ROUNDS):
            for name in (SECOND, FIRST) if samples[SECOND] else (SECOND,):
                sleep(_PAUSE)  # lets the other's threads fall asleep
                samples[name].append(_seconds(run[name]))
        best = {name: min(times) * 1e3 for name, times in samples.items()}
        if not difference <= ROUNDING:
            reason = f"OpenVINO's numbers differ by {difference:.1e} of the largest, more than by rounding"
            return Choice(FIRST, best, difference, reason)
        return Choice(SECOND if best[SECOND] < _MARGIN * best[FIRST] else FIRST, best, difference, None)

    def _run_one(
        self, name: str, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None
    ) -> Mapping[str, Buffer]:
        return self._engine(name).run(inputs, outputs)


def _openvino(threads: int | None) -> Backend:
    from edgesr.engines.openvino import OpenVinoBackend

    return OpenVinoBackend(threads=threads)


def _named(file_name: str) -> str:
    """Return the name of a file, or what it is where its name is a hash, as in the cache."""
    return "the network" if re.fullmatch(r"[0-9a-f]{64}\.onnx", file_name) else file_name


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
