"""What the pipelines that label pictures have in common: calls, files, threads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import ModelError, UsageError
from edgesr.image import Metadata
from edgesr.image.convert import check_pixels
from edgesr.model.package import ModelPackage
from edgesr.model.schema import suggest
from edgesr.pipelines.label_network import LabelNetwork
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.loaded import LoadedModel, milliseconds_since
from edgesr.pipelines.prepare import Placement, prepare
from edgesr.pipelines.sources import Sources, read_sources
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

R = TypeVar("R", bound=LabelResult)


@dataclass(frozen=True)
class Thresholds:
    """What a user may set of a pipeline that labels pictures."""

    score: float
    nms: float | None
    top_k: int


class LabelPipeline(LoadedModel, Generic[R]):
    """A model on a device that labels pictures: call it with one. Thread-safe.

    ``color`` is the order of colour pictures passed in, ``"rgb"`` or ``"bgr"``. Further keywords are thresholds of the
    task (``options``), which replace those of the package; each call may replace them again. ``network`` is the network
    in the backend's own form, such as a TensorRT engine.
    """

    task: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    """The thresholds that the task has."""

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        network: Path | None = None,
        **thresholds: Any,
    ) -> None:
        super().__init__(package, backend, color=color)
        if package.descriptor.task != self.task:
            raise ModelError(f"model {package.descriptor.name} has task {package.descriptor.task!r}, not {self.task!r}")
        declared = package.descriptor.prediction
        self._thresholds = self._resolve(thresholds, Thresholds(declared.score, declared.nms, declared.top_k))
        self._network = LabelNetwork(package, backend, network)

    @property
    def digest(self) -> str:
        """Hash of everything that the model is."""
        return self.package.digest

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the network's output; empty where the package has none."""
        return self.descriptor.labels or ()

    def _run(self, values: FloatArray, placement: Placement, timings: Timings) -> dict[str, Array]:
        """Return what the network gives for a prepared picture, by role."""
        return self._network.label(values, timings)

    @abstractmethod
    def _decode(self, outputs: dict[str, Array], placement: Placement, thresholds: Thresholds) -> dict[str, Any]:
        """Return the fields of the result beside those that all have."""

    @abstractmethod
    def _result(self, **values: Any) -> R:
        """Make the result."""

    def __call__(
        self, image: Array, *, metadata: Metadata | None = None, source: str | None = None, **thresholds: Any
    ) -> R:
        """Label one picture: numpy ``(H, W)`` or ``(H, W, C)``, C in grey, grey+alpha, colour, colour+alpha.

        uint8, uint16, or floats in [0, 1]. ``metadata`` is kept for ``save``, ``source`` names the picture in ``meta``.
        """
        start = perf_counter()
        settings = self._resolve(thresholds, self._thresholds)
        pixels = self.swapped(check_pixels(image))
        timings = Timings()
        values, placement = prepare(self.descriptor, pixels)
        timings.pre += perf_counter() - start
        outputs = self._run(values, placement, timings)
        fields = self._decode(outputs, placement, settings)
        return self._result(
            **fields,
            names=self.names,
            timings=milliseconds_since(start, timings),
            meta={"source": source, **self.meta(**thresholds)},
            picture=pixels,
            metadata=metadata or Metadata(format="PNG"),
        )

    def predict(self, sources: Sources, *, stream: bool = False, **options: Any) -> Iterator[R] | list[R]:
        """Label files, folders, globs, arrays or lists of them; ``options`` as for a call.

        With ``stream`` the results come one by one, so that any number of pictures fits into memory.
        """
        results = (
            self(
                self.swapped(item.pixels) if item.path else item.pixels,
                metadata=item.metadata,
                source=item.name,
                **options,
            )
            for item in read_sources(sources)
        )
        return results if stream else list(results)

    def submit(self, image: Array, **options: Any) -> Future[R]:
        """Label one picture on a worker thread; ``options`` as for a call."""
        return self._workers.submit(self, image, **options)

    def meta(self, **thresholds: Any) -> dict[str, Any]:
        """Describe what is run: task, model, version, device and thresholds."""
        settings = asdict(self._resolve(thresholds, self._thresholds))
        return {
            "task": self.task,
            "model": self.descriptor.name,
            "version": self.descriptor.version,
            "device": self.device,
            **{name: settings[name] for name in self.options},
        }

    def _free(self) -> None:
        self._network.close()

    def _resolve(self, given: dict[str, Any], defaults: Thresholds) -> Thresholds:
        values = asdict(defaults)
        for name, value in given.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise UsageError(
                    f"model {self.descriptor.name} has task {self.task} and no option {name!r} (it has: {known})"
                    f"{suggest(name, self.options)}"
                )
            if value is not None:
                values[name] = _checked(name, value)
        return Thresholds(**values)


def _checked(name: str, value: Any) -> float | int:
    if name == "top_k":
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise UsageError(f"top_k must be a whole number from 1, got {value!r}")
        return int(value)
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise UsageError(f"{name} must be a number from 0 to 1, got {value!r}")
    return float(value)
