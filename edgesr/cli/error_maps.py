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
from edgesr.image.formats import PARAMETRIC_MAP
from edgesr.image.heat import FULL, heat_overlay
from edgesr.image.writer import RowWriter
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array, FloatArray

_BLOCK = 1 << 22
"""Pixels that are converted and written at a time."""


class ErrorMaps:
    """A map of the error bound or deviation, and an overlay that shows it as heat; a context manager.

    The map is 16-bit, or, beside a DICOM picture, a DICOM Parametric Map in stored values of that picture.
    """

    def __init__(
        self, job: Job, picture: Picture, restorer: PicturePipeline, *, with_map: bool, with_heat: bool
    ) -> None:
        h, w, _ = picture.frames[0].shape
        self._size = (h * restorer.scale, w * restorer.scale, len(picture.frames))
        self._is_dicom = job.error_map.suffix == ".dcm"
        self._full = np.float32(np.iinfo(picture.frames[0].dtype).max) if self._is_dicom else np.float32(1.0)
        self._dicom = picture.metadata.dicom
        self._stack = ExitStack()
        self._map: RowWriter | None = None
        self._heat: RowWriter | None = None
        meaning = meaning_of(restorer)
        try:
            if with_map:
                self._map = self._open_map(job.error_map, meaning, restorer)
            if with_heat:
                text = f"the picture in grey, coloured by the {meaning}; strongest from {FULL:.2%} of the full range on"
                self._heat = self._open(
                    job.heat_map, 3, np.uint8, {"Description": text, "Comment": text, "Title": "error as heat"}
                )
        except BaseException as error:
            self._stack.__exit__(type(error), error, None)
            raise
        self._paths = {job.error_map: self._map, job.heat_map: self._heat}

    def write(self, rows: Array, bound: FloatArray | None) -> None:
        """Append what belongs to rows of the picture."""
        if bound is None:
            return
        step = max(1, _BLOCK // max(1, bound.shape[1]))
        for block in (slice(start, start + step) for start in range(0, len(bound), step)):
            if self._map is not None:
                values = bound[block, :, None]
                self._map.write(values * self._full if self._is_dicom else from_float(values, np.dtype(np.uint16)))
            if self._heat is not None:
                self._heat.write(heat_overlay(rows[block], bound[block]))

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

    def _open_map(self, path: Path, meaning: str, restorer: PicturePipeline) -> RowWriter:
        if not self._is_dicom:
            return self._open(path, 1, np.uint16, {"Description": f"{meaning}, 65535 = full range of the picture"})
        descriptor = restorer.descriptor
        settings = ", ".join(f"{name}={value}" for name, value in restorer.settings().items())
        is_bound = descriptor.uncertainty is not None
        quantity = "BOUND Predicted bound of the absolute error" if is_bound else "SD Standard deviation of samples"
        text = {
            "Title": "error bound" if is_bound else "standard deviation of samples",
            "Description": f"{meaning}; {descriptor.name} {descriptor.version}, {settings}; not a measurement",
            "Model": descriptor.name,
            "Version": descriptor.version,
            "Quantity": quantity,
        }
        return self._open(path, 1, np.float32, text, PARAMETRIC_MAP)

    def _open(
        self, path: Path, channels: int, dtype: type[Any], text: dict[str, str], format: str | None = None
    ) -> RowWriter:
        height, width, frames = self._size
        writer = open_writer(
            path,
            height=height,
            width=width,
            channels=channels,
            dtype=dtype,
            frames=frames,
            metadata=Metadata(
                format="DICOM" if self._is_dicom else "PNG",
                text={**text, "Software": f"edgesr {__version__}"},
                dicom=self._dicom if self._is_dicom else None,
            ),
            format=format,
        )
        return self._stack.enter_context(writer)


def meaning_of(restorer: PicturePipeline) -> str:
    """Return what the numbers of the map are."""
    uncertainty = restorer.descriptor.uncertainty
    samples = restorer.settings().get("samples", 1)
    if uncertainty is None:
        return f"standard deviation of {samples} samples"
    source = "the detail of the picture and " if uncertainty.link is not None else ""
    drawn = f" from {source}the deviation of {samples} samples" if samples > 1 else ""
    return (
        f"predicted bound of the absolute error{drawn}, calibrated so that it covers "
        f"{uncertainty.coverage:.0%} of the pixels"
    )
