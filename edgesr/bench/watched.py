"""A model opened once more, so that its runtime tells the times of its operators and what each network is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.bench.subject import Subject
from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.model.package import ModelPackage
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.restore import Restorer

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Names and shapes of all inputs of one run."""


Open = Callable[[Path, Path], Backend]
"""Return a backend that profiles, for a network and into a folder."""


class WatchedBackend:
    """A runtime on the CPU or ONNX Runtime's CUDA provider that profiles every network and counts its runs.

    Each network has a backend that ``open_profiled`` makes for it, with a folder of its own below ``folder``; buffers
    are those of ``plain``.
    """

    def __init__(self, plain: Backend, open_profiled: Open, folder: Path) -> None:
        self.networks: list[WatchedEngine] = []
        """In the order in which they were loaded."""
        self._plain, self._open, self._folder = plain, open_profiled, folder

    @property
    def name(self) -> str:
        """Name of the backend behind it."""
        return self._plain.name

    @property
    def is_asynchronous(self) -> bool:
        """False: a run has ended when it returns."""
        return False

    def load(self, path: Path) -> Engine:
        """Load a network whose runs are watched."""
        profile = self._folder / str(len(self.networks))
        profile.mkdir()
        self.networks.append(WatchedEngine(self._open(path, profile).load(path), path, profile))
        return self.networks[-1]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate a buffer of the backend behind it."""
        return self._plain.empty(shape, dtype)

    def synchronize(self) -> None:
        """Return at once: runs have ended when they return."""

    def close(self) -> None:
        """Close the backend behind it; what was counted stays."""
        self._plain.close()


class WatchedEngine:
    """One network with the shapes that it was run with."""

    def __init__(self, engine: Engine, path: Path, profile: Path) -> None:
        self.path = path
        self.profile = profile
        """Folder with the times of its operators, once it was closed."""
        self.runs: Counter[Shapes] = Counter()
        self._engine = engine

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name."""
        return self._engine.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name."""
        return self._engine.outputs

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        """Count the run and pass it on."""
        self.runs[tuple(sorted((name, tuple(buffer.shape)) for name, buffer in inputs.items()))] += 1
        return self._engine.run(inputs, outputs)

    def close(self) -> None:
        """Close the network, which writes its profile."""
        self._engine.close()


def reopened(subject: Subject, backend: WatchedBackend) -> Pipeline:
    """Open the model of a subject once more, on another backend, with the same settings."""
    spec, pipeline = subject.spec, subject.pipeline
    options = {**spec.controls, **({"steps": spec.steps} if spec.steps else {})}
    if isinstance(pipeline, Chain):
        thresholds = {name: value for name, value in options.items() if name in pipeline.labels.options}
        rest = {name: value for name, value in options.items() if name not in thresholds}
        labels = type(pipeline.labels)(pipeline.labels.package, backend, **thresholds)
        return Chain(_pictures(pipeline.restorer, backend, tile=spec.tile, **rest), labels)
    if isinstance(pipeline, PicturePipeline):
        return _pictures(pipeline, backend, tile=spec.tile, **options)
    return type(pipeline)(pipeline.package, backend, **options)


def part_names(pipeline: Pipeline) -> dict[Path, str]:
    """Return what the network files of a model are called; those that are made of parts, such as steps, are absent."""
    if isinstance(pipeline, Chain):
        restorer, labels = pipeline.restorer.package, pipeline.labels.package
        return {**_parts(restorer, restorer.descriptor.name), **_parts(labels, labels.descriptor.name)}
    return _parts(pipeline.package)


def _pictures(pipeline: PicturePipeline, backend: WatchedBackend, **options: Any) -> PicturePipeline:
    make = LatentDiffusion if isinstance(pipeline, LatentDiffusion) else Restorer
    return make(pipeline.package, backend, **options)


def _parts(package: ModelPackage, prefix: str = "") -> dict[Path, str]:
    return {
        package.part_path(part): " ".join(word for word in (prefix, part) if word) for part in package.descriptor.parts
    }
