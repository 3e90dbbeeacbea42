"""What a network that labels pictures is fed with them, and how close another form of it comes to FP32."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.artifact import write_typed
from edgesr.compile.feeds import Feed, FeedRecorder
from edgesr.compile.gate import Picture, Verdict
from edgesr.compile.quality import Difference
from edgesr.compile.shapes import Profile
from edgesr.compile.tensors import difference
from edgesr.compile.typed import Typed
from edgesr.engines import Backend, open_backend
from edgesr.errors import BackendError, InputError, ModelError
from edgesr.model import ModelPackage, open_package
from edgesr.model.label_rules import NETWORK
from edgesr.pipelines.agreement import agreement, matched
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.label_result import Detections, LabelResult
from edgesr.pipelines.load_labels import pipeline_of
from edgesr.types import Array

_FAILED = Difference(-math.inf, math.nan, math.inf)


class LabelProof:
    """Pictures, what a labelling network is fed with them, and what it says in FP32.

    Float outputs of a fixed shape are compared number by number; of a network that chooses its boxes itself, the
    corners and scores of the boxes that are the same. Beside that the results agree or not: see ``agreement``.
    """

    def __init__(
        self,
        package: ModelPackage,
        pictures: Sequence[Picture],
        *,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        if set(package.descriptor.parts) != {NETWORK}:
            both = " and ".join(package.descriptor.parts)
            raise ModelError(
                f"model {package.descriptor.name} has two networks, {both}, which are not built together; give the "
                "ONNX file of one with --onnx"
            )
        self._package = package
        self._pictures = list(pictures)
        self._names = [picture.name for picture in self._pictures]
        roles = package.descriptor.parts[NETWORK].outputs
        self._compared = () if "labels" in roles else tuple(roles.values())
        recorder = FeedRecorder(open_backend("cpu"), with_results=True, tensor=_picture(package))
        self._expected: list[LabelResult] = []
        with self._open(package, recorder) as pipeline:
            for picture in self._pictures:
                self._expected.append(pipeline(picture.pixels))
                if on_step is not None:
                    on_step(len(self._expected), len(self._pictures))
        self.feeds = recorder.feeds
        self._outputs = recorder.results or []
        if not self._compared and not any(len(found) for found in self._expected if isinstance(found, Detections)):
            raise InputError(
                f"model {package.descriptor.name} finds nothing above its score in the {len(self._pictures)} pictures "
                "that it would be compared on; give pictures with objects with --calib"
            )

    def compare(self, typed: Typed, only: str | None = None) -> Verdict:
        """Run another form of the network through the whole pipeline and compare what it says with FP32.

        ``only`` names one picture to compare on.
        """
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            package = open_package(write_typed(Path(folder) / "candidate", self._package, typed, {}))
            return self._verdict(package, open_backend("cpu"), only=only)

    def compare_engine(self, typed: Typed, backend: Backend, plan: Path, profile: Profile) -> Verdict:
        """Compare an engine of another form of the network with FP32; closes ``backend``."""
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            package = open_package(write_typed(Path(folder) / "candidate", self._package, typed, {}))
            return self._verdict(package, backend, plan)

    def feed(self, name: str) -> Feed:
        """Return the feed of the picture that an entry of a verdict names."""
        return self.feeds[self._names.index(name)]

    def _verdict(
        self, package: ModelPackage, backend: Backend, network: Path | None = None, *, only: str | None = None
    ) -> Verdict:
        recorder = FeedRecorder(backend, with_results=True, tensor=_picture(package))
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
                differences.append((picture.name, self._difference(index, found[-1], (recorder.results or [])[-1])))
        names = [self._names[index] for index in chosen]
        return Verdict(tuple(differences), agreement(names, found, [self._expected[index] for index in chosen]))

    def _difference(self, index: int, found: LabelResult, outputs: Mapping[str, Array]) -> Difference:
        expected = self._outputs[index]
        pairs = [(outputs[name], expected[name]) for name in self._compared if expected[name].dtype.kind == "f"]
        if not self._compared:
            pairs = _of_boxes(found, self._expected[index])
        compared = [difference(a, b) for a, b in pairs]
        if not compared:
            return Difference(math.inf, math.nan, 0.0)
        return Difference(min(it.psnr for it in compared), math.nan, max(it.max_abs for it in compared))

    def _open(self, package: ModelPackage, backend: Backend, **options: Any) -> LabelPipeline[Any]:
        return pipeline_of(package)(package, backend, **options)


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


def _picture(package: ModelPackage) -> str:
    """Return the tensor of the picture: other networks of the package are not looked at."""
    return package.descriptor.parts[NETWORK].inputs["image"]
