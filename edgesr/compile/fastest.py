"""The CPU with whichever of ONNX Runtime and OpenVINO is faster for a network, found by measuring both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.choices import ChoiceStore
from edgesr.compile.fastest_engine import FastestEngine
from edgesr.compile.runtime_trial import FIRST, SECOND
from edgesr.engines.base import Backend, Buffer, Engine
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


def _openvino(threads: int | None) -> Backend:
    from edgesr.engines.openvino import OpenVinoBackend

    return OpenVinoBackend(threads=threads)
