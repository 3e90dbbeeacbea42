"""What every pipeline is: a model package loaded onto a device, with worker threads, closed when it is left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from time import perf_counter
from types import TracebackType
from typing import Literal, TypeVar

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import UsageError
from edgesr.model.package import ModelPackage
from edgesr.pipelines.timings import Timings
from edgesr.pipelines.workers import Workers
from edgesr.types import Array

_Self = TypeVar("_Self", bound="LoadedModel")


class LoadedModel(ABC):
    """A model on a device; a context manager. ``color`` is the order of colour pictures, ``"rgb"`` or ``"bgr"``."""

    def __init__(self, package: ModelPackage, backend: Backend, *, color: Literal["rgb", "bgr"] = "rgb") -> None:
        if color not in ("rgb", "bgr"):
            raise UsageError(f"color must be 'rgb' or 'bgr', got {color!r}")
        self.descriptor = package.descriptor
        self.package = package
        self._color = color
        self._backend = backend
        self._workers = Workers()

    @property
    def backend(self) -> Backend:
        """The runtime that runs the networks."""
        return self._backend

    @property
    def device(self) -> str:
        """Runtime and device, e.g. ``onnxruntime:cpu``."""
        return self._backend.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this model, such as what was inferred about a bare ONNX file."""
        return self.package.notes

    def close(self) -> None:
        """Finish submitted pictures and free the networks; closing twice is allowed."""
        self._workers.close()
        self._free()
        self._backend.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _free(self) -> None:
        """Free the networks."""

    def swapped(self, pixels: Array) -> Array:
        """Convert ``(H, W, C)`` between RGB and the pipeline's colour order."""
        if self._color == "rgb" or pixels.shape[2] < 3:
            return pixels
        return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)


def milliseconds_since(start: float, timings: Timings) -> dict[str, float]:
    """Return the stages of one picture and their total in ms; what no stage holds is ``post``."""
    total = perf_counter() - start
    stages = asdict(timings)
    milliseconds = {name: seconds * 1e3 for name, seconds in stages.items()}
    return milliseconds | {"post": max(0.0, total - sum(stages.values())) * 1e3, "total": total * 1e3}
