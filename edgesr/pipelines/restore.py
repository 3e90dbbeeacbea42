"""Restoration and super-resolution of pictures of any size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Literal

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import UsageError
from edgesr.image import Metadata
from edgesr.image.convert import check_pixels
from edgesr.model.package import ModelPackage
from edgesr.pipelines.bands import Band, restore_bands
from edgesr.pipelines.controls import estimate_controls, resolve_controls, show_controls
from edgesr.pipelines.network import RestoreNetwork, Settings, Timings
from edgesr.pipelines.planes import check_channels
from edgesr.pipelines.result import Result
from edgesr.pipelines.sources import Sources, read_sources
from edgesr.pipelines.tilesize import has_full_context, tiles_for
from edgesr.types import Array


class Restorer:
    """A restoration model on a device: call it with a picture.

    Thread-safe. ``color`` names the order of colour pictures that are passed in and returned, ``"rgb"`` or ``"bgr"``.
    ``tile`` is the tile side in input pixels (default: from the model and the free memory); ``tta`` averages over the
    eight flips and rotations; ``network`` is the network in the backend's own form, such as a TensorRT engine. Further
    keywords are the model's controls, e.g. ``fidelity=1.0``.
    """

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        tile: int | None = None,
        tta: bool = False,
        network: Path | None = None,
        **controls: Any,
    ) -> None:
        if color not in ("rgb", "bgr"):
            raise UsageError(f"color must be 'rgb' or 'bgr', got {color!r}")
        self.descriptor = package.descriptor
        self.package = package
        check_channels(self.descriptor)
        self._controls = resolve_controls(self.descriptor, controls)
        self._color = color
        self._tile = tile
        self._tta = tta
        self._backend = backend
        self._network = RestoreNetwork(package, backend, network)
        self._executor: ThreadPoolExecutor | None = None
        self._executor_lock = threading.Lock()
        tiles_for(self.descriptor, 1, 1, tile)

    @property
    def scale(self) -> int:
        """Enlargement in each direction."""
        return self.descriptor.scale

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this model: what was inferred about a bare ONNX file, and what is not exact."""
        if has_full_context(self.descriptor):
            return self.package.notes
        return (
            *self.package.notes,
            "its receptive field is unknown or larger than its tiles: pictures of several tiles are blended, not exact",
        )

    @property
    def device(self) -> str:
        """Runtime and device, e.g. ``onnxruntime:cpu``."""
        return self._backend.name

    def __call__(self, image: Array, **controls: Any) -> Array:
        """Restore one picture: numpy ``(H, W)`` or ``(H, W, C)``, C in grey, grey+alpha, colour, colour+alpha.

        uint8, uint16, or floats in [0, 1] (computed and returned as float32). Same channels and rank out.
        """
        return self.restore(image, **controls).image

    def restore(
        self,
        image: Array,
        *,
        uncertainty: bool = False,
        metadata: Metadata | None = None,
        source: str | None = None,
        **controls: Any,
    ) -> Result:
        """Restore one picture, as in a call, and return it with timings, and the error bound with ``uncertainty``.

        ``metadata`` is kept for ``Result.save``, ``source`` names the picture in ``Result.meta``.
        """
        start = perf_counter()
        pixels = self._swapped(check_pixels(image))
        timings = Timings()
        h, w, c = pixels.shape
        out: Array = np.empty((h * self.scale, w * self.scale, c), pixels.dtype)
        bound = np.empty(out.shape[:2], np.float32) if uncertainty else None
        y = 0
        for band in self.bands(pixels, uncertainty=uncertainty, timings=timings, **controls):
            rows = slice(y, y + band.rows.shape[0])
            out[rows] = band.rows
            if bound is not None:
                bound[rows] = band.bound
            y = rows.stop
        out = self._swapped(out)
        total = perf_counter() - start
        stages = asdict(timings)
        milliseconds = {name: seconds * 1e3 for name, seconds in stages.items()}
        milliseconds |= {"post": max(0.0, total - sum(stages.values())) * 1e3, "total": total * 1e3}
        return Result(
            image=out if image.ndim == 3 else out[..., 0],
            std=bound,
            timings=milliseconds,
            meta={"source": source, **self.meta(**controls)},
            source=image,
            metadata=metadata or Metadata(format="PNG"),
            descriptor=self.descriptor,
        )

    def bands(
        self,
        pixels: Array,
        *,
        uncertainty: bool = False,
        timings: Timings | None = None,
        on_tile: Callable[[int, int], None] | None = None,
        **controls: Any,
    ) -> Iterator[Band]:
        """Restore ``(H, W, C)`` RGB pixels and yield the result in bands of rows, so that memory does not grow with H.

        ``on_tile`` is told the number of finished tiles and of all. When the device runs out of memory on the first
        tile, smaller tiles are tried.
        """
        descriptor = self.descriptor
        values = resolve_controls(descriptor, controls, self._controls)
        if uncertainty and descriptor.uncertainty is None:
            raise UsageError(f"model {descriptor.name} predicts no uncertainty")
        settings = Settings(estimate_controls(descriptor, values, pixels), _quantum(pixels.dtype), uncertainty)
        return restore_bands(
            self._network,
            pixels,
            settings,
            tile=self._tile,
            tta=self._tta,
            timings=Timings() if timings is None else timings,
            on_tile=on_tile,
        )

    def predict(self, sources: Sources, *, stream: bool = False, **options: Any) -> Iterator[Result] | list[Result]:
        """Restore files, folders, globs, arrays or lists of them; ``options`` as for ``restore``.

        With ``stream`` the results come one by one, so that any number of pictures fits into memory.
        """
        results = (
            self.restore(
                self._swapped(item.pixels) if item.path else item.pixels,
                metadata=item.metadata,
                source=item.name,
                **options,
            )
            for item in read_sources(sources)
        )
        return results if stream else list(results)

    def submit(self, image: Array, **options: Any) -> Future[Result]:
        """Restore one picture on a worker thread; ``options`` as for ``restore``."""
        with self._executor_lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="edgesr")
            return self._executor.submit(self.restore, image, **options)

    def meta(self, **controls: Any) -> dict[str, Any]:
        """Describe what is run: model, version, scale, device, downscaler and controls (``auto`` = by picture)."""
        descriptor = self.descriptor
        return {
            "model": descriptor.name,
            "version": descriptor.version,
            "scale": descriptor.scale,
            "device": self.device,
            "color": self._color,
            "tile": self._tile,
            "tta": self._tta,
            "degradation": (descriptor.degradation or {}).get("kernel"),
            "controls": show_controls(descriptor, resolve_controls(descriptor, controls, self._controls)),
        }

    def close(self) -> None:
        """Finish submitted pictures and free the network; closing twice is allowed."""
        if self._executor is not None:
            self._executor.shutdown()
        self._network.close()
        self._backend.close()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _swapped(self, pixels: Array) -> Array:
        """Convert ``(H, W, C)`` between RGB and the pipeline's colour order."""
        if self._color == "rgb" or pixels.shape[2] < 3:
            return pixels
        return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)


def _quantum(dtype: np.dtype[Any]) -> float:
    """Return the grey-level step of pixels of ``dtype``, in [0, 1]."""
    return 0.0 if dtype.kind == "f" else 1.0 / float(np.iinfo(dtype).max)
