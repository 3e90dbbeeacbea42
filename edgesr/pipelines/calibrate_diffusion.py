"""What the networks of a latent diffusion are fed when pictures run through it, and its pictures in FP32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.feeds import Feed, FeedRecorder
from edgesr.compile.gate import Picture, Verdict, compare_pictures
from edgesr.compile.graph import DOUBLE, FLOAT, HALF, INT32, INT64, Graph
from edgesr.engines import Backend, Engine, open_backend
from edgesr.image.convert import to_float
from edgesr.model import ModelPackage
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.diffusion_network import Prepare
from edgesr.pipelines.fused import fused_step, step_key
from edgesr.pipelines.latent_tiles import around_of
from edgesr.pipelines.unroll_package import without_unrolled
from edgesr.schedule import ScheduleConfig, make_schedule
from edgesr.types import Array

FEEDS = 24
"""Runs of a network that are kept, evenly over all steps of all pictures."""
_TIMES = {FLOAT: np.float32, HALF: np.float16, DOUBLE: np.float64, INT32: np.int32, INT64: np.int64}


class DiffusionProof:
    """Pictures, what each part is fed with them, and the FP32 results; ``steps`` None takes the package's own."""

    def __init__(
        self,
        package: ModelPackage,
        pictures: Sequence[Picture],
        *,
        steps: int | None = None,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._pictures = list(pictures)
        self._steps = steps
        plain = without_unrolled(package)
        recorder = _PartRecorder(open_backend("cpu"))
        self._expected = []
        with LatentDiffusion(plain, recorder) as pipeline:
            for index, picture in enumerate(self._pictures):
                self._expected.append(pipeline(to_float(picture.pixels), **self._settings()))
                on_step(index + 1, len(self._pictures))
        descriptor = plain.descriptor
        config = ScheduleConfig.from_json(descriptor.schedule, source=f"model {descriptor.name}")
        schedule = make_schedule(config, steps)
        step = fused_step(plain, step_key(plain, plain.part_digest(UNET), schedule), schedule)
        self.feeds: dict[str, list[Feed]] = {}
        """By part; of the U-Net, what it gets inside the step."""
        for name in (ENCODER, DECODER):
            if name in descriptor.parts:
                self.feeds[name] = _spread(recorder.by_network.get(plain.part_path(name), []))
        unet = Graph.read(plain.part_path(UNET))
        self.feeds[UNET] = [_inside(plain, unet, feed) for feed in _spread(recorder.by_network[step])]

    def compare(self, package: ModelPackage, backend: Backend | None = None, prepare: Prepare | None = None) -> Verdict:
        """Compare a package with the FP32 results, picture by picture; closes ``backend``."""
        with LatentDiffusion(package, backend or open_backend("cpu"), prepare=prepare) as pipeline:
            return self.compare_pipeline(pipeline)

    def compare_pipeline(self, pipeline: LatentDiffusion) -> Verdict:
        """Compare what an open pipeline makes."""

        def run(picture: Picture) -> Array:
            return pipeline(to_float(picture.pixels), **self._settings())

        return compare_pictures(run, self._pictures, self._expected)

    def _settings(self) -> dict[str, Any]:
        return {} if self._steps is None else {"steps": self._steps}


class _PartRecorder(FeedRecorder):
    """Keeps the feeds of every file that is loaded apart."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.by_network: dict[Path, list[Feed]] = {}

    def load(self, path: Path) -> Engine:
        """Load a network whose runs are recorded for its file."""
        self.feeds = self.by_network.setdefault(path, [])
        return super().load(path)


def _inside(package: ModelPackage, unet: Graph, feed: Feed) -> Feed:
    """Return what the U-Net gets in a step that is fed so."""
    part = package.descriptor.parts[UNET]
    row, state = feed["row"], feed["state"]
    extra = next((value for name, value in feed.items() if name not in ("row", "state", "previous_x0", "noise")), None)
    seen = state * row[1]
    if around_of(package.descriptor).conditioning == "joined" and extra is not None:
        seen = np.concatenate([seen, extra.astype(np.float32)], axis=1)
    found = {part.inputs["state"]: seen.astype(_TIMES[unet.types[part.inputs["state"]]])}
    if "condition" in part.inputs and extra is not None:
        found[part.inputs["condition"]] = extra
    if "timestep" in part.inputs:
        name = part.inputs["timestep"]
        sizes = [size if size > 0 else len(state) for size in unet.shapes[name]]
        found[name] = np.full(sizes, row[0], _TIMES[unet.types[name]])
    return found


def _spread(feeds: Sequence[Feed]) -> list[Feed]:
    taken = min(FEEDS, len(feeds))
    return [feeds[i * len(feeds) // taken] for i in range(taken)]
