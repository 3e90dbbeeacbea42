"""Write pictures by rows: check the target first, then take rows in order, then let the complete file appear."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import numpy as np

from edgesr.errors import InputError
from edgesr.image.formats import format_of, make_encoder, refuse_misfit
from edgesr.image.layout import Layout
from edgesr.image.output import OutputFile, check_target, explain
from edgesr.image.picture import Metadata, Picture
from edgesr.image.source import shown
from edgesr.types import Array


class RowWriter:
    """Take the rows of a file in order, frame after frame, and make the complete file appear at a clean exit.

    Use as a context manager. PNG and TIFF are written in constant memory; the other formats collect their rows.
    """

    def __init__(
        self, path: str | os.PathLike[str], layout: Layout, metadata: Metadata, format: str, quality: int
    ) -> None:
        self.layout = layout
        self.format = format
        self._name = shown(path)
        self._rows_left = layout.height * layout.frames
        self._is_finished = False
        self._output = OutputFile(path)
        try:
            with _naming(self._name):
                self._encoder = make_encoder(format, self._output.file, layout, metadata, quality)
        except BaseException as error:
            self._output.__exit__(type(error), error, None)
            raise

    def write(self, rows: Array) -> None:
        """Append rows ``(h, W, C)`` of the announced dtype; they are not kept and may be reused at once."""
        layout = self.layout
        if rows.ndim != 3 or rows.shape[1:] != (layout.width, layout.channels) or rows.dtype != layout.dtype:
            raise InputError(
                f"{self._name}: rows must be {layout.dtype} (h, {layout.width}, {layout.channels}), "
                f"got {rows.dtype} {rows.shape}; pass bands of the whole width"
            )
        if len(rows) > self._rows_left:
            raise InputError(f"{self._name}: {len(rows)} rows given where {self._rows_left} are left; pass fewer rows")
        while len(rows):
            taken = rows[: (self._rows_left - 1) % layout.height + 1]
            with _naming(self._name):
                self._encoder.write(taken)
            self._rows_left -= len(taken)
            rows = rows[len(taken) :]

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text that only the pixels told; before the last row of the frame that it is about."""
        self._encoder.describe(text)

    def finish(self) -> None:
        """Bring the complete file to the disk without letting it appear yet; done at a clean exit in any case."""
        if self._rows_left:
            raise InputError(f"{self._name}: {self._rows_left} rows are missing; write them all before closing")
        if not self._is_finished:
            with _naming(self._name):
                self._encoder.finish()
            self._output.synchronize()
            self._is_finished = True

    @property
    def is_written(self) -> bool:
        """Whether the file has appeared."""
        return self._output.is_committed

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._output:
            if error is not None:
                raise error
            self.finish()


def write(path: str | os.PathLike[str], picture: Picture, *, format: str | None = None, quality: int = 95) -> None:
    """Write a picture with its metadata in the format of the suffix, or in ``format``; an old file is replaced whole.

    ``quality`` 1 to 100 holds for JPEG (always 4:4:4) and WebP.
    """
    first = picture.frames[0]
    height, width, channels = first.shape
    with open_writer(
        path,
        height=height,
        width=width,
        channels=channels,
        dtype=first.dtype,
        frames=len(picture.frames),
        metadata=picture.metadata,
        format=format,
        quality=quality,
    ) as writer:
        for frame in picture.frames:
            writer.write(frame)


def open_writer(
    path: str | os.PathLike[str],
    *,
    height: int,
    width: int,
    channels: int,
    dtype: np.dtype[np.generic] | type[np.generic] | str,
    frames: int = 1,
    metadata: Metadata | None = None,
    format: str | None = None,
    quality: int = 95,
) -> RowWriter:
    """Open a file to be written by rows; every reason against it that can be known now is an InputError now."""
    layout = Layout(height, width, channels, np.dtype(dtype), frames)
    known = metadata or Metadata()
    name = _check(path, layout, known, format)
    if not 1 <= quality <= 100:
        raise InputError(f"{shown(path)}: quality must be 1 to 100, got {quality}")
    return RowWriter(path, layout, known, name, quality)


def check_output(
    path: str | os.PathLike[str],
    *,
    dtype: np.dtype[np.generic] | type[np.generic] | str = "uint8",
    channels: int = 3,
    height: int = 1,
    width: int = 1,
    frames: int = 1,
    metadata: Metadata | None = None,
    format: str | None = None,
) -> str:
    """Return the format a path will be written in, having checked format, folder and size before any work is done."""
    return _check(path, Layout(height, width, channels, np.dtype(dtype), frames), metadata or Metadata(), format)


def _check(path: str | os.PathLike[str], layout: Layout, metadata: Metadata, format: str | None) -> str:
    name = format_of(path, format)
    try:
        refuse_misfit(name, layout, metadata)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    check_target(path)
    return name


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the file before what an encoder says against it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error.__cause__
    except OSError as error:
        raise explain(name, error) from None
