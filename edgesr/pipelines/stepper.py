"""The fused step on a device: states in two buffers that change places, or all steps as one CUDA graph."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgesr.engines.base import Backend, Buffer, Engine, Loop, LoopingEngine
from edgesr.errors import ModelError
from edgesr.schedule import COLUMNS
from edgesr.types import Array, FloatArray

_SHAPES_KEPT = 4
_MOST_AT_ONCE = 64
"""Steps in one graph; each adds all of the network's kernels to it."""
_MOST_NOISE = 64 << 20
"""Bytes of noise that are kept on the device at once."""
_OF_THE_LOOP = ("state", "previous_x0", "noise", "row")


@dataclass
class StepBuffers:
    """What one shape of states needs; ``states`` and ``x0s`` are pairs."""

    states: tuple[Buffer, Buffer]
    x0s: tuple[Buffer, Buffer]
    row: Buffer
    noise: Buffer | None
    condition: Buffer | None


class StepEngine:
    """A loaded fused step, and the lock under which it runs."""

    def __init__(self, engine: Engine, backend: Backend, lock: threading.Lock) -> None:
        self.engine = engine
        self.backend = backend
        self.lock = lock
        others = [name for name in engine.inputs if name not in _OF_THE_LOOP]
        if len(others) > 1:
            raise ModelError(f"a step takes one condition at most, this one takes {', '.join(others)}")
        self.condition = others[0] if others else None
        self.batch = max(engine.inputs["state"].shape[0], 0) or None
        """States per run where the network has a fixed number, else None."""


class Stepper:
    """Walks a batch of states through a schedule; one thread at a time."""

    def __init__(self, step: StepEngine) -> None:
        self._step = step
        self._shapes: OrderedDict[tuple[int, ...], StepBuffers] = OrderedDict()
        self._loops: OrderedDict[tuple[object, ...], Loop] = OrderedDict()
        self._buffers: StepBuffers | None = None
        self._now = 0

    @property
    def is_looping(self) -> bool:
        """Whether ``walk`` can be used: the engine repeats a step by itself."""
        return isinstance(self._step.engine, LoopingEngine)

    def most_at_once(self, shape: tuple[int, ...], *, with_noise: bool) -> int:
        """Return how many steps on states of ``shape`` one ``walk`` may take."""
        size = math.prod(shape) * np.dtype(np.float32).itemsize
        return max(1, min(_MOST_AT_ONCE, _MOST_NOISE // size)) if with_noise else _MOST_AT_ONCE

    def walk(
        self, state: Array, condition: Array | None, x0: Array, rows: Array, noises: Array | None
    ) -> tuple[FloatArray, FloatArray]:
        """Take a step for each of ``rows`` and return the last states and x0, valid until the next walk.

        ``noises`` is ``(steps, n, channels, h, w)``, None where no step adds any. What the host sends and gets is one
        copy each.
        """
        step, inputs = self._step, self._step.engine.inputs
        values = {"state": state, "previous_x0": x0, "row": rows}
        values["noise"] = np.zeros_like(state) if noises is None else noises
        if step.condition and condition is not None:
            values[step.condition] = condition
        values = {name: array for name, array in values.items() if name in inputs}
        tables = tuple(name for name in ("row", "noise") if name in values and (name == "row" or noises is not None))
        shapes = {name: array.shape[1:] if name in tables else array.shape for name, array in values.items()}
        loop = self._loop(shapes, len(rows), tables)
        with step.lock:
            made = loop(values)
        return made["next_state"], made["x0"]

    def load(self, state: Array, condition: Array | None, x0: Array | None = None) -> None:
        """Bring float32 states ``(n, channels, h, w)`` to the device, with their condition and their previous x0."""
        buffers = self._buffers = self._for(state.shape, None if condition is None else condition.shape)
        self._now = 0
        self.replace(state, x0)
        if buffers.condition is not None and condition is not None:
            buffers.condition.copy_from(_as(condition, buffers.condition))

    def replace(self, state: Array, x0: Array | None) -> None:
        """Replace the present states, and their x0."""
        buffers = self._loaded
        buffers.states[self._now].copy_from(_as(state, buffers.states[0]))
        if x0 is not None:
            buffers.x0s[self._now].copy_from(_as(x0, buffers.x0s[0]))

    def advance(self, row: Array, noise: Array | None) -> None:
        """Enqueue one step; ``row`` is one of the schedule, ``noise`` what it adds, None where it adds none."""
        buffers, now, step = self._loaded, self._now, self._step
        buffers.row.copy_from(_as(row, buffers.row))
        if buffers.noise is not None and noise is not None:
            buffers.noise.copy_from(_as(noise, buffers.noise))
        given = {
            "state": buffers.states[now],
            "previous_x0": buffers.x0s[now],
            "noise": buffers.noise,
            "row": buffers.row,
            step.condition or "": buffers.condition,
        }
        inputs = {name: buffer for name, buffer in given.items() if name in step.engine.inputs and buffer is not None}
        outputs: Mapping[str, Buffer] = {"next_state": buffers.states[1 - now], "x0": buffers.x0s[1 - now]}
        with step.lock:
            step.engine.run(inputs, outputs)
        self._now = 1 - now

    @property
    def state(self) -> FloatArray:
        """Wait for the present states and return them; valid until the next step."""
        return self._loaded.states[self._now].numpy()

    @property
    def x0(self) -> FloatArray:
        """Wait for the clean pictures that the last step predicted; valid until the next step."""
        return self._loaded.x0s[self._now].numpy()

    @property
    def _loaded(self) -> StepBuffers:
        if self._buffers is None:
            raise RuntimeError("load states first")
        return self._buffers

    def _loop(self, shapes: Mapping[str, tuple[int, ...]], runs: int, tables: tuple[str, ...]) -> Loop:
        key = (*shapes.items(), runs, tables)
        if key not in self._loops:
            engine = self._step.engine
            assert isinstance(engine, LoopingEngine)
            carried = {"next_state": "state", "x0": "previous_x0"}
            self._loops[key] = engine.loop(
                shapes,
                dict.fromkeys(carried, shapes["state"]),
                runs=runs,
                tables=tables,
                carried={output: name for output, name in carried.items() if name in shapes},
            )
            if len(self._loops) > _SHAPES_KEPT:
                self._loops.popitem(last=False)[1].close()
        self._loops.move_to_end(key)
        return self._loops[key]

    def _for(self, shape: tuple[int, ...], condition: tuple[int, ...] | None) -> StepBuffers:
        if shape in self._shapes:
            self._shapes.move_to_end(shape)
            return self._shapes[shape]
        step, empty = self._step, self._step.backend.empty
        inputs, real = step.engine.inputs, np.dtype(np.float32)

        def zeros() -> Buffer:
            buffer = empty(shape, real)
            buffer.copy_from(np.zeros(shape, real))
            return buffer

        created = StepBuffers(
            states=(zeros(), zeros()),
            x0s=(zeros(), zeros()),
            row=empty((len(COLUMNS),), real),
            noise=zeros() if "noise" in inputs else None,
            condition=empty(condition, inputs[step.condition].dtype) if step.condition and condition else None,
        )
        self._shapes[shape] = created
        if len(self._shapes) > _SHAPES_KEPT:
            self._shapes.popitem(last=False)
        return created


def _as(array: Array, buffer: Buffer) -> Array:
    return np.ascontiguousarray(array, buffer.dtype)
