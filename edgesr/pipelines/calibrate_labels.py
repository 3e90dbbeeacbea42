"""What a network that labels pictures is fed with them, and how close another form of it comes to FP32."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.artifact import write_parts, write_typed
from edgesr.compile.feeds import Feed, FeedRecorder, run_engine
from edgesr.compile.gate import Picture, Verdict
from edgesr.compile.quality import Difference
from edgesr.compile.shapes import Profile
from edgesr.compile.tensors import difference
from edgesr.compile.typed import Typed
from edgesr.engines import Backend, open_backend
from edgesr.errors import BackendError, InputError
from edgesr.model import ModelPackage, open_package
from edgesr.model.label_rules import NETWORK, REGIONS
from edgesr.pipelines.agreement import agreement, matched
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.label_result import Detections, LabelResult
from edgesr.pipelines.load_labels import pipeline_of
from edgesr.types import Array

_FAILED = Difference(-math.inf, math.nan, math.inf)
_EQUAL = Difference(math.inf, math.nan, 0.0)
_CARRIED = {
    "mask": "class map",
    "logits": "class scores",
    "predictions": "boxes and scores",
    "objectness": "scores of the proposals",
    "deltas": "boxes",
    "features": "features of the regions",
}
"""What outputs are called, by role, where the role is no word for a reader."""
_REGIONS = 64
"""Of a picture that are kept for calibration."""


class LabelProof:
    """Pictures, what one network of a labelling model is fed with them, and what the model says in FP32.

    Float outputs of a fixed shape are compared number by number; of a network that chooses its boxes itself, the
    corners and scores of the boxes that are the same. Beside that the results agree or not: see ``agreement``.
    Of the regions that a second network, ``part``, looks at, some stand for all: calibration needs no more.
    """

    def __init__(
        self,
        package: ModelPackage,
        pictures: Sequence[Picture],
        *,
        part: str = NETWORK,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._package = package
        self._part = part
        self._names = [picture.name for picture in pictures]
        self._pictures = list(pictures)
        roles = package.descriptor.parts[part].outputs
        segments = package.descriptor.task == "segment"
        self.results = {
            tensor: _CARRIED["mask"] if segments else _CARRIED.get(role, role) for role, tensor in roles.items()
        }
        """What its outputs are, as a reader is told."""
        self._compared = () if "labels" in roles else tuple(roles.values())
        recorder = self._recorder(package, open_backend("cpu"))
        self.expected: list[LabelResult] = []
        """What the model says of every picture in FP32."""
        self._runs: list[_Run | None] = []
        with self._open(package, recorder) as pipeline:
            for picture in self._pictures:
                self.expected.append(pipeline(picture.pixels))
                self._runs.append(self._taken(recorder))
                if on_step is not None:
                    on_step(len(self.expected), len(self._pictures))
        self.feeds: list[Feed] = [run.feed for run in self._runs if run is not None]
        named = f"model {package.descriptor.name} finds"
        if not self.feeds:
            raise InputError(
                f"{named} no regions in the {len(self._pictures)} pictures; give pictures with objects with --calib"
            )
        if not self._compared and not any(len(found) for found in self.expected if isinstance(found, Detections)):
            raise InputError(
                f"{named} nothing above its score in the {len(self._pictures)} pictures "
                "that it would be compared on; give pictures with objects with --calib"
            )

    def compare(self, typed: Typed, only: str | None = None) -> Verdict:
        """Run another form of the network through the whole pipeline and compare what it says with FP32.

        ``only`` names one picture to compare on.
        """
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            return self._verdict(self._candidate(Path(folder), typed), open_backend("cpu"), only=only)

    def compare_engine(self, typed: Typed, backend: Backend, plan: Path, profile: Profile) -> Verdict:
        """Compare an engine of another form of the network with FP32; closes ``backend``.

        An engine of one network of two is compared on what that network is fed.
        """
        if len(self._package.descriptor.parts) > 1:
            return self._on_feeds(backend, plan)
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            return self._verdict(self._candidate(Path(folder), typed), backend, plan)

    def feed(self, name: str) -> Feed:
        """Return the feed of the picture that an entry of a verdict names, or of the first where it has none."""
        run = self._runs[self._names.index(name)]
        return self.feeds[0] if run is None else run.feed

    def _candidate(self, folder: Path, typed: Typed) -> ModelPackage:
        place = folder / "candidate"
        if len(self._package.descriptor.parts) > 1:
            return open_package(write_parts(place, self._package, {self._part: typed}, typed.precision, {}))
        return open_package(write_typed(place, self._package, typed, {}))

    def _verdict(
        self, package: ModelPackage, backend: Backend, network: Path | None = None, *, only: str | None = None
    ) -> Verdict:
        recorder = self._recorder(package, backend)
        found: list[LabelResult] = []
        differences = []
        with self._open(package, recorder, network=network) as pipeline:
            chosen = [index for index, name in enumerate(self._names) if only in (None, name)]
            for index in chosen:
                picture = self._pictures[index]
                try:
                    found.append(pipeline(picture.pixels))
                except BackendError:
                    return Verdict(((picture.name, _FAILED),))
                differences.append((picture.name, self._difference(index, found[-1], self._taken(recorder))))
        names = [self._names[index] for index in chosen]
        return Verdict(tuple(differences), agreement(names, found, [self.expected[index] for index in chosen]))

    def _on_feeds(self, backend: Backend, plan: Path) -> Verdict:
        known = [(name, run) for name, run in zip(self._names, self._runs, strict=True) if run is not None]
        engine = backend.load(plan)
        try:
            outputs = run_engine(backend, engine, [run.feed for _, run in known])
            return Verdict(
                tuple(
                    (name, self._of_outputs(found, run.outputs))
                    for found, (name, run) in zip(outputs, known, strict=True)
                )
            )
        finally:
            engine.close()
            backend.close()

    def _difference(self, index: int, found: LabelResult, run: _Run | None) -> Difference:
        expected = self._runs[index]
        if self._compared:
            return _EQUAL if run is None or expected is None else self._of_outputs(run.outputs, expected.outputs)
        return _largest([difference(a, b) for a, b in _of_boxes(found, self.expected[index])])

    def _of_outputs(self, found: Mapping[str, Array], expected: Mapping[str, Array]) -> Difference:
        floats = [name for name in self._compared if expected[name].dtype.kind == "f"]
        return _largest([difference(found[name], expected[name]) for name in floats])

    def _taken(self, recorder: FeedRecorder) -> _Run | None:
        """Take what the network was fed and gave out of a recorder, None where it was not run."""
        if not recorder.feeds:
            return None
        feed, outputs = recorder.feeds[-1], (recorder.results or [])[-1]
        recorder.feeds.clear()
        (recorder.results or []).clear()
        if self._part != REGIONS:
            return _Run(feed, outputs)
        return _Run(_some_rows(feed), _some_rows(outputs))

    def _recorder(self, package: ModelPackage, backend: Backend) -> FeedRecorder:
        tensor = next(iter(package.descriptor.parts[self._part].inputs.values()))
        return FeedRecorder(backend, with_results=True, tensor=tensor)

    def _open(self, package: ModelPackage, backend: Backend, **options: Any) -> LabelPipeline[Any]:
        return pipeline_of(package)(package, backend, **options)


@dataclass(frozen=True)
class _Run:
    """One run of a network: what it was fed and what it gave."""

    feed: Feed
    outputs: Feed


def _some_rows(arrays: Feed) -> Feed:
    """Return arrays whose first axis counts regions with at most ``_REGIONS`` of them, evenly spread."""
    count = len(next(iter(arrays.values())))
    rows = np.unique(np.linspace(0, count - 1, min(count, _REGIONS)).round().astype(np.intp))
    return {name: array[rows] for name, array in arrays.items()}


def _largest(compared: Sequence[Difference]) -> Difference:
    if not compared:
        return _EQUAL
    return Difference(min(it.psnr for it in compared), math.nan, max(it.max_abs for it in compared))


def _of_boxes(found: LabelResult, expected: LabelResult) -> list[tuple[Array, Array]]:
    """Return corners, as a fraction of the picture, and scores of the boxes that both forms of a network found."""
    if not isinstance(found, Detections) or not isinstance(expected, Detections):
        return []
    ours, theirs = matched(found, expected)
    if not len(ours):
        return []
    h, w = expected.picture.shape[:2]
    size = np.array([w, h, w, h], np.float32)
    return [
        (found.xyxy[ours] / size, expected.xyxy[theirs] / size),
        (found.conf[ours], expected.conf[theirs]),
    ]
