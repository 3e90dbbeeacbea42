"""A latent diffusion in one graph: encoder, all steps and decoder in a single call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edgesr.engines.base import Backend, Buffer, Engine
from edgesr.errors import ModelError
from edgesr.model.descriptor import ModelDescriptor, Part
from edgesr.model.diffusion_rules import UNROLLED
from edgesr.pipelines.latent_ends import LatentEnds
from edgesr.pipelines.latent_tiles import LatentTiles, around_of
from edgesr.pipelines.timings import Timings
from edgesr.schedule import Schedule, noise_field
from edgesr.types import Array, FloatArray

_SHAPES_KEPT = 4
_START = "noise_start"


@dataclass
class _Buffers:
    """What one size of pictures needs; ``drawn`` says which noise lies in the inputs."""

    inputs: dict[str, Buffer]
    result: Buffer
    drawn: tuple[int, int] | None = None


class WholeNetwork:
    """The part ``unrolled`` on a device.

    Picture after picture of one seed, only the picture goes in and only the result comes out: the noise stays.
    """

    def __init__(
        self, descriptor: ModelDescriptor, engine: Engine, backend: Backend, lock: threading.Lock, ends: LatentEnds
    ) -> None:
        self._descriptor = descriptor
        self._part: Part = descriptor.parts[UNROLLED]
        self._engine = engine
        self._backend = backend
        self._lock = lock
        self._ends = ends
        self._shapes: OrderedDict[tuple[int, ...], _Buffers] = OrderedDict()
        for side, named, tensors in (
            ("input", self._part.inputs, engine.inputs),
            ("output", self._part.outputs, engine.outputs),
        ):
            absent = [tensor for tensor in named.values() if tensor not in tensors]
            if absent or (side == "input" and len(tensors) > len(named)):
                raise ModelError(
                    f"model {descriptor.name}: model.json names the {side}s {', '.join(named.values())} of {UNROLLED}, "
                    f"the network has {', '.join(tensors)}"
                )

    def walks(self, schedule: Schedule) -> bool:
        """Tell whether the graph holds the steps of this schedule."""
        return around_of(self._descriptor).unrolled == schedule.digest

    def __call__(
        self, small: FloatArray, schedule: Schedule, tiles: LatentTiles, *, seed: int, sample: int, timings: Timings
    ) -> FloatArray:
        """Return the large picture ``(H, W, c)`` in [0, 1] of a small one ``(h, w, c)``, padded as ``tiles`` says."""
        start = perf_counter()
        image = self._ends.source(small)
        prepared = perf_counter()
        with self._lock:
            buffers = self._for(image.shape, tiles)
            self._fill(buffers, "image", image)
            if "condition" in self._part.inputs:
                condition = self._ends.condition(small, None)
                assert condition is not None
                self._fill(buffers, "condition", condition[None])
            if buffers.drawn != (seed, sample):
                self._draw(buffers, schedule, tiles, seed, sample)
            copied = perf_counter()
            self._engine.run(buffers.inputs, {self._part.outputs["image"]: buffers.result})
            buffers.result.wait()
            ran = perf_counter()
            made = np.array(buffers.result.numpy()[0].transpose(1, 2, 0), np.float32)
        timings.pre += prepared - start
        timings.h2d += copied - prepared
        timings.infer += ran - copied
        timings.d2h += perf_counter() - ran
        return self._ends.pixels(made, UNROLLED)

    def close(self) -> None:
        """Free the buffers; the engine is its owner's."""
        with self._lock:
            self._shapes.clear()

    def _draw(self, buffers: _Buffers, schedule: Schedule, tiles: LatentTiles, seed: int, sample: int) -> None:
        shape = (around_of(self._descriptor).latent_channels, *tiles.size)
        streams = {_START: 0} if schedule.noise else {}
        streams |= {f"noise_{step}": step + 1 for step in schedule.noisy_steps}
        for role, stream in streams.items():
            self._fill(buffers, role, noise_field(seed, stream, shape, sample=sample)[None])
        buffers.drawn = (seed, sample)

    def _fill(self, buffers: _Buffers, role: str, values: Array) -> None:
        buffer = buffers.inputs[self._part.inputs[role]]
        buffer.copy_from(np.ascontiguousarray(values, buffer.dtype))

    def _for(self, image: tuple[int, ...], tiles: LatentTiles) -> _Buffers:
        if image in self._shapes:
            self._shapes.move_to_end(image)
            return self._shapes[image]
        around, descriptor = around_of(self._descriptor), self._descriptor
        shapes = {"image": image}
        if "condition" in self._part.inputs:
            shapes["condition"] = (1, descriptor.input_channels, *tiles.size)
        latent = (1, around.latent_channels, *tiles.size)
        inputs = {
            tensor: self._backend.empty(shapes.get(role, latent), self._engine.inputs[tensor].dtype)
            for role, tensor in self._part.inputs.items()
        }
        h, w = (side * around.latent_factor for side in tiles.size)
        result = self._part.outputs["image"]
        made = self._backend.empty((1, descriptor.output_channels, h, w), self._engine.outputs[result].dtype)
        created = self._shapes[image] = _Buffers(inputs, made)
        if len(self._shapes) > _SHAPES_KEPT:
            self._shapes.popitem(last=False)
        return created
