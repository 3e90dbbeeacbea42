"""The CPU with whichever of ONNX Runtime and OpenVINO is faster for a network, found by measuring both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edgesr.compile.choices import TITLES, Choice, ChoiceStore
from edgesr.compile.runtime_trial import FIRST, SECOND, compare_runtimes
from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.engines.ort import OrtBackend
from edgesr.engines.ort_buffers import HostBuffer
from edgesr.errors import BackendError, OutOfMemoryError

WORTH = 1.0
"""Seconds of work after which a measurement pays."""

OPENING = 0.5
"""Seconds that a kept choice could have saved before the other runtime is opened: about what that takes."""


class FastestCpu:
    """ONNX Runtime until a network has computed for a second, then the faster of it and OpenVINO.

    What was measured is kept for the next time, when the faster one takes over as soon as what it saves per run adds
    up to what opening it takes. ``note`` is told what is chosen, also then. The two differ by rounding; where they
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
        opening: float = OPENING,
    ) -> None:
        if threads is not None and threads < 1:
            raise BackendError(f"threads must be at least 1, got {threads}")
        self._openers = backends or {
            FIRST: partial(OrtBackend, threads=threads),
            SECOND: partial(_openvino, threads),
        }
        self._opened: dict[str, Backend] = {}
        self._store = store
        self._note = note
        self._worth, self._opening = worth, opening
        self._engines: list[FastestEngine] = []

    @property
    def picked(self) -> tuple[str, ...]:
        """What the networks that were run are computed by, and why, one sentence each."""
        return tuple(dict.fromkeys(sentence for engine in self._engines for sentence in engine.picked))

    @property
    def runtimes(self) -> dict[Path, str]:
        """What each network was computed by at last, ``onnxruntime`` or ``openvino``."""
        return {engine.path: engine.runtime for engine in self._engines}

    @property
    def name(self) -> str:
        """``auto:cpu``: which runtime it is differs from network to network."""
        return "auto:cpu"

    @property
    def is_asynchronous(self) -> bool:
        """False: a run has ended when it returns."""
        return False

    def measure_soon(self) -> None:
        """Measure in the next run of every size that has no choice yet, and take kept ones, at once."""
        self._worth = self._opening = 0.0
        for engine in self._engines:
            engine.measure_soon()

    def load(self, path: Path) -> FastestEngine:
        """Open an ONNX file in ONNX Runtime, and later in the other one where that is the faster."""

        def open_engine(name: str) -> Engine:
            return self._backend(name).load(path)

        opened = FastestEngine(open_engine, path, self._store, self._note, worth=self._worth, opening=self._opening)
        self._engines.append(opened)
        return opened

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
        self._engines.clear()

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
        *,
        worth: float,
        opening: float,
    ) -> None:
        self._open = open_engine
        self.path = path
        self.runtime = FIRST
        """What the last run was computed by, ``onnxruntime`` or ``openvino``."""
        self._file_name = path.name
        self._kept = store.of(path)
        self._note = note
        self._worth, self._opening = worth, opening
        self._missed = 0.0
        self._engines: dict[str, Engine] = {}
        self._spent: dict[int, float] = dict.fromkeys(self._kept.pending, worth)
        self._used: dict[int, Choice | str] = {}
        self._is_closed = False
        first = self._engine(FIRST)
        self._inputs, self._outputs = first.inputs, first.outputs

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name."""
        return self._outputs

    @property
    def picked(self) -> tuple[str, ...]:
        """What computes the sizes that were run, one sentence each."""
        return tuple(
            f"{_named(self._file_name)}: {used if isinstance(used, str) else used.sentence(is_kept=used.is_sure)}"
            for used in self._used.values()
        )

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        """Run once; see Engine.run."""
        if self._is_closed:
            raise BackendError(f"{self._file_name} is closed")
        bucket = sum(int(np.prod(buffer.shape)) for buffer in inputs.values()).bit_length()
        choice = self._kept.choices.get(bucket)
        if choice is None and self._spent.get(bucket, 0.0) >= self._worth:
            first, second = (partial(self._run_one, name, inputs, outputs) for name in (FIRST, SECOND))
            choice = self._kept.keep(bucket, compare_runtimes(first, second, self._tell))
            self._close_unused()
            self._tell(choice.sentence())
            self._used[bucket] = choice
        self.runtime = name = self._taken(bucket, choice)
        start = perf_counter()
        result = self._engine(name).run(inputs, outputs)
        if choice is None:
            before = self._spent.get(bucket, 0.0)
            self._spent[bucket] = before + perf_counter() - start
            if before < self._worth <= self._spent[bucket]:
                self._kept.want(bucket)
        return result

    def measure_soon(self) -> None:
        """Measure in the next run of every size that has no choice yet, and take kept ones, at once."""
        self._worth = self._opening = 0.0

    def close(self) -> None:
        """Free both."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
        self._is_closed = True

    def _tell(self, text: str) -> None:
        self._note(f"{_named(self._file_name)}: {text}")

    def _taken(self, bucket: int, choice: Choice | None) -> str:
        """Return which runtime computes the next run, and open it; say so where a kept choice is new."""
        if choice is None:
            name = nearest if (nearest := self._nearest(bucket)) in self._engines else FIRST
            self._used[bucket] = f"{TITLES[name]}, as less than {self._worth:g} s was computed"
            return name
        if choice.name not in self._engines:
            times = choice.milliseconds
            self._missed += max(times.get(FIRST, 0.0) - times.get(choice.name, 0.0), 0.0) / 1000
            if choice.name != FIRST and self._missed < self._opening:
                self._used[bucket] = "ONNX Runtime, as opening OpenVINO would take longer than it would have saved"
                return FIRST
            self._engine(choice.name)
            self._close_unused()
        told = [used.name for used in self._used.values() if not isinstance(used, str)]
        if choice.name not in told:
            self._tell(choice.sentence(is_kept=True))
        self._used[bucket] = choice
        return choice.name

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
