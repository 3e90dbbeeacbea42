"""The networks of a diffusion package on a device, with buffers for as many pictures as are made at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgesr.engines.base import Backend, Engine
from edgesr.errors import ModelError
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET, UNROLLED
from edgesr.model.package import ModelPackage
from edgesr.pipelines.fused import fused_step, step_key
from edgesr.pipelines.latent_ends import EndNetwork, LatentEnds
from edgesr.pipelines.latent_tiles import around_of
from edgesr.pipelines.stepper import StepEngine, Stepper
from edgesr.pipelines.whole import WholeNetwork
from edgesr.schedule import Schedule
from edgesr.types import Array


@dataclass(frozen=True)
class Sides:
    """The pictures that one part is given, ``(height, width)``, and how many at once."""

    part: str
    least: tuple[int, int]
    most: tuple[int, int]
    batch: int = 1
    latents: tuple[tuple[int, int], tuple[int, int]] | None = None
    """Least and most of the inputs other than ``image``, where they are latents."""


Prepare = Callable[[Path, Sides], Path]
"""Puts an ONNX file into the form that a backend runs."""


class DiffusionNetwork:
    """Encoder, fused steps and decoder of one package. Steps are loaded when a schedule of their kind is first used.

    ``largest`` is the largest tile in latents and ``batch`` how many are run at once, for backends that ``prepare``.
    """

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        largest: tuple[int, int],
        least: tuple[int, int],
        batch: int,
        prepare: Prepare | None = None,
    ) -> None:
        self._package = package
        self._unet = package.part_digest(UNET)
        self._prepare = prepare
        self._sides = Sides("step", least, largest, batch)
        self._backend = backend
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._steps: dict[str, tuple[Path, StepEngine]] = {}
        self._free: dict[str, list[Stepper]] = {}
        self._engines: list[Engine] = []
        encoder = self._end(ENCODER, "image", "latent") if ENCODER in package.descriptor.parts else None
        self.ends = LatentEnds(package.descriptor, encoder, self._end(DECODER, "latent", "image"))
        self.whole: WholeNetwork | None = None
        """All steps of the package's own schedule in one graph, where the package has it."""
        if UNROLLED in package.descriptor.parts:
            sides = replace(self._sides_of(ENCODER), part=UNROLLED, latents=(least, largest))
            engine = self._load(package.part_path(UNROLLED), sides)
            self.whole = WholeNetwork(package.descriptor, engine, backend, self._lock, self.ends)

    def step(self, schedule: Schedule) -> StepEngine:
        """Return the fused step that walks a schedule."""
        return self._step(self._key(schedule), schedule)[1]

    @contextmanager
    def stepper(self, schedule: Schedule) -> Iterator[Stepper]:
        """Lend buffers to walk a schedule with; safe from any thread."""
        key = self._key(schedule)
        step = self._step(key, schedule)[1]
        with self._making:
            free = self._free.setdefault(key, [])
            taken = free.pop() if free else Stepper(step)
        try:
            yield taken
        finally:
            with self._making:
                free.append(taken)

    def locate(self, schedule: Schedule, inputs: dict[str, Array]) -> str:
        """Return which layers of the step make values that are not finite of ``inputs``, as part of a sentence."""
        from edgesr.compile.nonfinite import first_nonfinite

        path, step = self._step(self._key(schedule), schedule)
        condition = inputs.pop("condition", None)
        if step.condition is not None and condition is not None:
            inputs[step.condition] = condition
        feeds = {name: np.asarray(inputs[name], spec.dtype) for name, spec in step.engine.inputs.items()}
        found = first_nonfinite(path, feeds)
        return "" if found is None else f", first in {found}"

    def close(self) -> None:
        """Free all engines and buffers."""
        with self._making:
            self._free.clear()
            self.ends.close()
            if self.whole is not None:
                self.whole.close()
            while self._engines:
                self._engines.pop().close()

    def _key(self, schedule: Schedule) -> str:
        return step_key(self._package, self._unet, schedule)

    def _step(self, key: str, schedule: Schedule) -> tuple[Path, StepEngine]:
        with self._making:
            if key not in self._steps:
                path = fused_step(self._package, key, schedule)
                self._steps[key] = (path, StepEngine(self._load(path, self._sides), self._backend, self._lock))
            return self._steps[key]

    def _end(self, name: str, source: str, result: str) -> EndNetwork:
        part = self._package.descriptor.parts[name]
        engine = self._load(self._package.part_path(name), self._sides_of(name))
        taken, made = part.inputs[source], part.outputs[result]
        for side, tensor, tensors in (("input", taken, engine.inputs), ("output", made, engine.outputs)):
            if tensor not in tensors:
                raise ModelError(
                    f"model {self._package.descriptor.name}: model.json names the {side} {tensor!r} of {name}, "
                    f"the network has {', '.join(tensors)}"
                )
        if len(engine.inputs) > 1:
            raise ModelError(f"model {self._package.descriptor.name}: {name} takes {', '.join(engine.inputs)}, not one")
        return EndNetwork(engine, self._backend, self._lock, taken, made)

    def _sides_of(self, name: str) -> Sides:
        """Return what an end is given: pictures or latents."""
        around, scale = around_of(self._package.descriptor), self._package.descriptor.scale
        up, down = 1, 1
        if name == ENCODER:
            up, down = around.latent_factor, (1 if around.upsampling == "bicubic" else scale)
        least, most = ((h * up // down, w * up // down) for h, w in (self._sides.least, self._sides.most))
        return Sides(name, least, most)

    def _load(self, path: Path, sides: Sides) -> Engine:
        engine = self._backend.load(path if self._prepare is None else self._prepare(path, sides))
        self._engines.append(engine)
        return engine
