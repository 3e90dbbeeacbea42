"""One network in whichever of ONNX Runtime and OpenVINO is faster at a size."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol, runtime_checkable

import numpy as np

from edgesr.compile.choices import TITLES, Choice, ChoiceStore
from edgesr.compile.runtime_trial import FIRST, SECOND, compare_runtimes
from edgesr.engines.base import Buffer, Engine, TensorSpec
from edgesr.errors import BackendError

LARGE = 18
"""Binary digits of the number of input values from which one runtime at a time may hold the memory of a run: tiles of
363 x 363 grey or 209 x 209 colour pixels."""


@runtime_checkable
class Resting(Protocol):
    """An engine that gives back memory between runs."""

    def release_memory(self) -> None:
        """Give back what runs have allocated."""


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
            rest = self._rest if bucket >= LARGE else None
            choice = self._kept.keep(bucket, compare_runtimes(first, second, self._tell, rest))
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

    def _rest(self, name: str) -> None:
        """Let a runtime give back its memory, or close it where it cannot: opening it again takes a moment."""
        engine = self._engines.get(name)
        if isinstance(engine, Resting):
            engine.release_memory()
        elif engine is not None:
            self._engines.pop(name).close()

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


def _named(file_name: str) -> str:
    """Return the name of a file, or what it is where its name is a hash, as in the cache."""
    return "the network" if re.fullmatch(r"[0-9a-f]{64}\.onnx", file_name) else file_name
