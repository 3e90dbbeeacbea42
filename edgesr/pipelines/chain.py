"""A restoration in front of a task: what is too small to be recognised is enlarged first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Any

from edgesr.image import Metadata
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.sources import Sources, read_sources
from edgesr.pipelines.workers import Workers
from edgesr.types import Array


class Chain:
    """A pipeline that makes pictures and one that labels them; call it with a picture. Thread-safe.

    The result is that of the task; its ``picture`` is the restored one, and boxes and masks are in its pixels.
    """

    def __init__(self, restorer: PicturePipeline, labels: LabelPipeline[Any]) -> None:
        self.restorer = restorer
        self.labels = labels
        self._workers = Workers()

    @property
    def task(self) -> str:
        """Task of the second network."""
        return self.labels.task

    @property
    def options(self) -> tuple[str, ...]:
        """The thresholds that the task has."""
        return self.labels.options

    @property
    def device(self) -> str:
        """Runtime and device, e.g. ``onnxruntime:cpu``."""
        return self.labels.device

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the network's output."""
        return self.labels.names

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the two models."""
        return (*self.restorer.notes, *self.labels.notes)

    @property
    def digest(self) -> str:
        """Hash of everything that the two models are."""
        both = f"{self.restorer.package.digest}\n{self.labels.digest}\n"
        return hashlib.sha256(both.encode()).hexdigest()

    def __call__(
        self, image: Array, *, metadata: Metadata | None = None, source: str | None = None, **thresholds: Any
    ) -> LabelResult:
        """Restore one picture, as a Restorer takes it, and label the result; keywords are the task's thresholds."""
        start = perf_counter()
        restored = self.restorer.restore(image)
        result: LabelResult = self.labels(restored.image, metadata=metadata, source=source, **thresholds)
        timings = {"restore": restored.timings["total"], **result.timings}
        timings["total"] = (perf_counter() - start) * 1e3
        meta = {**result.meta, **self._facts(), "input_size": list(image.shape[:2])}
        return replace(result, timings=timings, meta=meta)

    def predict(
        self, sources: Sources, *, stream: bool = False, **options: Any
    ) -> Iterator[LabelResult] | list[LabelResult]:
        """Restore and label files, folders, globs, arrays or lists of them, one by one with ``stream``."""
        results = (
            self(
                self.labels.swapped(item.pixels) if item.path else item.pixels,
                metadata=item.metadata,
                source=item.name,
                **options,
            )
            for item in read_sources(sources)
        )
        return results if stream else list(results)

    def submit(self, image: Array, **options: Any) -> Future[LabelResult]:
        """Restore and label one picture on a worker thread; ``options`` as for a call."""
        return self._workers.submit(self, image, **options)

    def meta(self, **thresholds: Any) -> dict[str, Any]:
        """Describe what is run: the task's facts, and under ``restore`` the restoration's."""
        return {**self.labels.meta(**thresholds), **self._facts()}

    def close(self) -> None:
        """Finish submitted pictures and free both networks; closing twice is allowed."""
        self._workers.close()
        self.restorer.close()
        self.labels.close()

    def __enter__(self) -> Chain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _facts(self) -> dict[str, Any]:
        facts = self.restorer.meta()
        return {"restore": {name: facts[name] for name in ("model", "version", "scale", "controls")}}
