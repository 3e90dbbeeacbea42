"""One loaded model as a benchmark sees it: run a picture, get the milliseconds of every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgesr.bench.conditions import describe_conditions
from edgesr.bench.inputs import input_of
from edgesr.bench.memory import MemoryWatch
from edgesr.bench.pairs import PicturePair
from edgesr.bench.spec import Spec
from edgesr.bench.timing import Clock
from edgesr.compile.fastest import FastestCpu
from edgesr.engines.base import Backend
from edgesr.engines.cuda_timing import RunTimer
from edgesr.engines.trt import TrtBackend
from edgesr.errors import UsageError
from edgesr.model.package import ModelPackage
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array

_STAGES = {"pre": "pre", "h2d": "h2d", "infer": "compute", "d2h": "d2h", "post": "post"}


class Subject(AbstractContextManager["Subject"]):
    """A model on a device; made by ``open_subject``."""

    def __init__(
        self,
        spec: Spec,
        pipeline: Pipeline,
        *,
        precision: str,
        load_ms: float,
        build_ms: float | None,
        memory: MemoryWatch,
        notes: Sequence[str],
        clock: Clock,
    ) -> None:
        self.spec = spec
        self.pipeline = pipeline
        self.precision = precision
        self.load_ms = load_ms
        self.build_ms = build_ms
        self.memory = memory
        self.notes = (*pipeline.notes, *notes)
        self._clock = clock
        self._pictures: Sequence[Array] = ()
        self._timer: RunTimer | None = None

    @property
    def scale(self) -> int:
        """Enlargement in each direction; 1 for models that label pictures."""
        return self.pipeline.scale if isinstance(self.pipeline, PicturePipeline) else 1

    @property
    def task(self) -> str:
        """What the model is for."""
        return self.pipeline.descriptor.task if isinstance(self.pipeline, PicturePipeline) else self.pipeline.task

    @property
    def backend(self) -> Backend:
        """The runtime of the network that makes the result."""
        return self.pipeline.labels.backend if isinstance(self.pipeline, Chain) else self.pipeline.backend

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The runtimes of all networks, in the order in which they run."""
        if isinstance(self.pipeline, Chain):
            return tuple(dict.fromkeys((self.pipeline.restorer.backend, self.pipeline.labels.backend)))
        return (self.pipeline.backend,)

    @property
    def runtimes(self) -> dict[Path, str]:
        """What ``auto`` computed each network with on the CPU; empty where it did not choose."""
        chosen = [backend.runtimes for backend in self.backends if isinstance(backend, FastestCpu)]
        return {path: name for one in chosen for path, name in one.items()}

    @property
    def sha256(self) -> str:
        """Hash of all that the model is."""
        return self.pipeline.package.digest if isinstance(self.pipeline, PicturePipeline) else self.pipeline.digest

    @property
    def output_size(self) -> tuple[int, int, int] | None:
        """Width, height and channels of the first result; None for labels."""
        if not isinstance(self.pipeline, PicturePipeline) or not self._pictures:
            return None
        h, w, c = self._pictures[0].shape
        return w * self.scale, h * self.scale, c

    def conditions(self) -> dict[str, str]:
        """Say what the times hold for."""
        return describe_conditions(self.backend, self.spec.threads)

    def restore(self, pixels: Array) -> Array:
        """Make one picture, for quality; only of models that make pictures."""
        if not isinstance(self.pipeline, PicturePipeline):
            raise UsageError(f"{self.spec.model} makes no pictures")
        return self.pipeline(pixels)

    def label(self, pixels: Array) -> Any:
        """Label one picture, for quality; only of models that label pictures."""
        if isinstance(self.pipeline, PicturePipeline):
            raise UsageError(f"{self.spec.model} labels no pictures")
        return self.pipeline(pixels)

    def input_of(self, pair: PicturePair) -> Array:
        """Read what the model is given of a pair, ``(h, w, C)``."""
        return input_of(self.pipeline, pair)

    def use(self, pictures: Sequence[Array]) -> None:
        """Choose the pictures that ``run`` counts, ``(H, W, C)``."""
        self._pictures = pictures

    def run(self, index: int) -> Mapping[str, float]:
        """Run one picture and return milliseconds by stage."""
        picture = self._pictures[index]
        start = self._clock()
        pipeline = self.pipeline
        timings = (pipeline.restore if isinstance(pipeline, PicturePipeline) else pipeline)(picture).timings
        total = (self._clock() - start) * 1e3
        stages = {stage: timings[name] for name, stage in _STAGES.items()}
        stages["pre"] += timings.get("restore", 0.0)
        if self._timer is not None:
            compute = self._timer.take()
            # What the host waited for beyond the kernels are the copy to the device and the launch.
            stages["h2d"] += max(0.0, stages["compute"] - compute)
            stages["compute"] = compute
        return {**stages, "end_to_end": total}

    def choose_runtimes(self) -> None:
        """Let ``auto`` measure in the next runs, which warm up, so that it does not in those that are timed."""
        for backend in self.backends:
            if isinstance(backend, FastestCpu):
                backend.measure_soon()

    def time_on_device(self) -> None:
        """Take ``compute`` from events on the device where there are some."""
        if isinstance(self.backend, TrtBackend):
            self._timer = RunTimer()
            for engine in self.backend.engines:
                engine.timer = self._timer

    def time_on_host(self) -> None:
        """Let runs from several threads be, which events of one timer cannot tell apart."""
        if isinstance(self.backend, TrtBackend):
            self._timer = None
            for engine in self.backend.engines:
                engine.timer = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pipeline.close()


def precision_of(package: ModelPackage) -> str:
    """Return the precision that a package says of its network, ``fp32`` where it says nothing."""
    return str((package.descriptor.precision or {}).get("kind", "fp32"))


def three_axes(pixels: Array) -> Array:
    """Return ``(H, W, C)``."""
    return pixels if pixels.ndim == 3 else np.asarray(pixels[..., None])
