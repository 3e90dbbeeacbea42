"""The files beside a restored picture that say how far it can be trusted."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgesr import __version__
from edgesr.cli.jobs import Job
from edgesr.image import Metadata, Picture, open_writer
from edgesr.image.convert import from_float
from edgesr.image.heat import FULL, heat_overlay
from edgesr.image.writer import RowWriter
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array, FloatArray


class ErrorMaps:
    """A 16-bit map of the error bound or deviation, and an overlay that shows it as heat; a context manager."""

    def __init__(
        self, job: Job, picture: Picture, restorer: PicturePipeline, *, with_map: bool, with_heat: bool
    ) -> None:
        h, w, _ = picture.frames[0].shape
        size = (h * restorer.scale, w * restorer.scale, len(picture.frames))
        self._stack = ExitStack()
        self._map: RowWriter | None = None
        self._heat: RowWriter | None = None
        meaning = _meaning(restorer)
        try:
            if with_map:
                text = f"{meaning}, 65535 = full range of the picture"
                self._map = self._open(job.error_map, size, 1, np.dtype(np.uint16), text)
            if with_heat:
                text = f"the picture in grey, coloured by the {meaning}; strongest from {FULL:.2%} of the full range on"
                self._heat = self._open(job.heat_map, size, 3, np.dtype(np.uint8), text)
        except BaseException as error:
            self._stack.__exit__(type(error), error, None)
            raise
        self._paths = {job.error_map: self._map, job.heat_map: self._heat}

    def write(self, rows: Array, bound: FloatArray | None) -> None:
        """Append what belongs to rows of the picture."""
        if bound is None:
            return
        if self._map is not None:
            self._map.write(from_float(bound[..., None], np.dtype(np.uint16)))
        if self._heat is not None:
            self._heat.write(heat_overlay(rows, bound))

    def finish(self) -> None:
        """Bring the files to the disk without letting them appear yet."""
        for writer in (self._map, self._heat):
            if writer is not None:
                writer.finish()

    def discard(self) -> None:
        """Take away what has appeared, since the picture could not be written after all."""
        for path, writer in self._paths.items():
            if writer is not None and writer.is_written:
                path.unlink(missing_ok=True)

    def __enter__(self) -> ErrorMaps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _open(
        self, path: Path, size: tuple[int, int, int], channels: int, dtype: np.dtype[Any], text: str
    ) -> RowWriter:
        height, width, frames = size
        writer = open_writer(
            path,
            height=height,
            width=width,
            channels=channels,
            dtype=dtype,
            frames=frames,
            metadata=Metadata(format="PNG", text={"Description": text, "Software": f"edgesr {__version__}"}),
        )
        return self._stack.enter_context(writer)


def _meaning(restorer: PicturePipeline) -> str:
    uncertainty = restorer.descriptor.uncertainty
    samples = restorer.settings().get("samples", 1)
    if uncertainty is None:
        return f"standard deviation of {samples} samples"
    drawn = f" from the deviation of {samples} samples" if samples > 1 else ""
    return (
        f"predicted bound of the absolute error{drawn}, calibrated so that it covers "
        f"{uncertainty.coverage:.0%} of the pixels"
    )
