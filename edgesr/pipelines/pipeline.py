"""What all pipelines from picture to picture have in common: calls, files, threads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from time import perf_counter
from typing import Any

import numpy as np

from edgesr.errors import AccuracyError, UsageError
from edgesr.image import Metadata
from edgesr.image.convert import check_pixels
from edgesr.image.resample import Kernel
from edgesr.pipelines.bands import Band
from edgesr.pipelines.loaded import LoadedModel, milliseconds_since
from edgesr.pipelines.result import Result
from edgesr.pipelines.sources import Sources, read_sources
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray


class PicturePipeline(LoadedModel):
    """A model on a device that makes pictures of pictures; thread-safe.

    ``color`` names the order of colour pictures that are passed in and returned, ``"rgb"`` or ``"bgr"``.
    """

    unit = "tiles"
    """What ``on_tile`` of ``bands`` counts."""
    is_generative = False
    """Whether pictures are drawn, so that each must be measured against its input."""

    @property
    def scale(self) -> int:
        """Enlargement in each direction."""
        return self.descriptor.scale

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """Names of the outputs beside the picture and its error."""
        return ()

    @abstractmethod
    def bands(
        self,
        pixels: Array,
        *,
        uncertainty: bool = False,
        extra_outputs: bool = False,
        timings: Timings | None = None,
        on_tile: Callable[[int, int], None] | None = None,
        **controls: Any,
    ) -> Iterator[Band]:
        """Yield the result for ``(H, W, C)`` RGB pixels in bands of finished rows; ``on_tile`` is told done and all."""

    @abstractmethod
    def settings(self, **controls: Any) -> dict[str, Any]:
        """Return what identifies a result beside model and picture, as a user would give it."""

    @abstractmethod
    def kernels(self, **controls: Any) -> tuple[Kernel, ...]:
        """Return the downscalers that may have made the input; the result is measured against the best of them."""

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
        extra_outputs: bool = False,
        max_residual: float | None = None,
        metadata: Metadata | None = None,
        source: str | None = None,
        on_tile: Callable[[int, int], None] | None = None,
        **controls: Any,
    ) -> Result:
        """Restore one picture, as in a call, and return it with timings, and the error map with ``uncertainty``.

        With ``extra_outputs`` the result holds what the network gives beside the picture, e.g. ``extra["parsing"]``.

        ``max_residual`` is the largest ``Result.residual`` that is no AccuracyError. ``metadata`` is kept for
        ``Result.save``, ``source`` names the picture in ``Result.meta``. An exception raised by ``on_tile`` cancels.
        """
        start = perf_counter()
        pixels = self.swapped(check_pixels(image))
        timings = Timings()
        h, w, c = pixels.shape
        out: Array = np.empty((h * self.scale, w * self.scale, c), pixels.dtype)
        bound = np.empty(out.shape[:2], np.float32) if uncertainty else None
        extra: dict[str, list[FloatArray]] = {}
        y = 0
        asked = {"uncertainty": uncertainty, "extra_outputs": extra_outputs}
        for band in self.bands(pixels, **asked, timings=timings, on_tile=on_tile, **controls):
            rows = slice(y, y + band.rows.shape[0])
            out[rows] = band.rows
            if bound is not None:
                bound[rows] = band.bound
            for role, values in band.extra.items():
                extra.setdefault(role, []).append(values)
            y = rows.stop
            del band  # or it would stay beside the next one
        out = self.swapped(out)
        result = Result(
            image=out if image.ndim == 3 else out[..., 0],
            std=bound,
            timings=milliseconds_since(start, timings),
            meta={"source": source, **self.meta(**controls)},
            source=image,
            metadata=metadata or Metadata(format="PNG"),
            descriptor=self.descriptor,
            extra={role: np.concatenate(parts) for role, parts in extra.items()},
        )
        if max_residual is not None:
            check_residual(result.residual, max_residual, self.descriptor.name)
        return result

    def predict(self, sources: Sources, *, stream: bool = False, **options: Any) -> Iterator[Result] | list[Result]:
        """Restore files, folders, globs, arrays or lists of them; ``options`` as for ``restore``.

        With ``stream`` the results come one by one, so that any number of pictures fits into memory.
        """
        results = (
            self.restore(
                self.swapped(item.pixels) if item.path else item.pixels,
                metadata=item.metadata,
                source=item.name,
                **options,
            )
            for item in read_sources(sources)
        )
        return results if stream else list(results)

    def submit(self, image: Array, **options: Any) -> Future[Result]:
        """Restore one picture on a worker thread; ``options`` as for ``restore``."""
        return self._workers.submit(self.restore, image, **options)

    def meta(self, **controls: Any) -> dict[str, Any]:
        """Describe what is run: model, version, scale, device, downscaler and settings."""
        descriptor = self.descriptor
        return {
            "model": descriptor.name,
            "version": descriptor.version,
            "scale": descriptor.scale,
            "device": self.device,
            "color": self._color,
            "degradation": (descriptor.degradation or {}).get("kernel"),
            "controls": self.settings(**controls),
        }


def check_residual(found: float | None, allowed: float, what: str) -> None:
    """Raise AccuracyError for a result that disagrees with its input by more than ``allowed`` grey levels."""
    if found is None:
        raise UsageError(f"{what} names no downscaler, so no residual can be measured; leave out the limit")
    if not found <= allowed:
        raise AccuracyError(
            f"{what}: made small again, the result differs from the input by {found:.3g} grey levels beyond clipping "
            f"and rounding, more than {allowed:g}; nothing is written"
        )
