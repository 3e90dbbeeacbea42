"""A sink of frames: write to it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import TracebackType

import numpy as np

from edgesr.errors import InputError, UsageError
from edgesr.image.convert import check_pixels, from_float, to_float
from edgesr.media.frame import Color, Frame, VideoFormat
from edgesr.media.port import Writer
from edgesr.types import Array

_USUAL_FPS = Fraction(30)
_LEAST_STEP = 1e-3


class Sink:
    """Takes frames of any size; opened by the first one, as its size decides the format.

    When the size changes, files get a successor (``clip-2.mp4``) and displays and streams start anew. Used by one
    thread at a time.
    """

    def __init__(
        self,
        open_writer: Callable[[VideoFormat, int], Writer],
        name: str,
        *,
        color: Color = "rgb",
        fps: Fraction | None = None,
        keeps_depth: bool = False,
        can_change_size: bool = True,
        is_lossy: bool = False,
        path: str = "",
    ) -> None:
        self.name = name
        self.path = path
        """Which library encodes, such as ``GStreamer 1.22.0``."""
        self.is_lossy = is_lossy
        """Whether what can be read back differs from what was written."""
        self.fps = fps
        """Nominal frames per second; may be set until the first frame."""
        self.written = 0
        self.parts = 0
        """Files or streams that were begun; more than one when the size changed."""
        self._open_writer = open_writer
        self._color = color
        self._keeps_depth = keeps_depth
        self._can_change_size = can_change_size
        self._writer: Writer | None = None
        self._shape: tuple[int, ...] = ()
        self._start = 0.0
        self._last = -_LEAST_STEP
        self._is_closed = False

    def write(self, frame: Frame | Array, time: float | None = None) -> None:
        """Write a frame, or uint8, uint16 or float pixels ``(H, W)`` or ``(H, W, C)`` with their time in seconds.

        Without a time, frames follow each other at ``fps`` (default: 30). Video holds uint8 RGB: other pixels are
        converted, alpha is left out. The time never runs backwards.
        """
        if self._is_closed:
            raise UsageError(f"{self.name}: is closed; open it again to write more")
        if isinstance(frame, Frame):
            image, time = frame.image, frame.time if time is None else time
        else:
            image = frame
        pixels = self._prepared(check_pixels(image))
        writer = self._writer_for(pixels, time)
        seconds = float(self.written / (self.fps or _USUAL_FPS)) if time is None else time - self._start
        self._last = max(seconds, self._last + _LEAST_STEP)
        writer.write(pixels, self._last)
        self.written += 1

    def close(self) -> None:
        """Finish what was written; closing twice is allowed."""
        self._is_closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def abandon(self) -> None:
        """Free everything after a failure, keeping what can be kept."""
        self._is_closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, InputError):
            self.abandon()
        else:
            self.close()

    def __repr__(self) -> str:
        return f"<Sink {self.name}{f' through {self.path}' if self.path else ''}>"

    def _writer_for(self, pixels: Array, time: float | None) -> Writer:
        if self._writer is not None and (pixels.shape == self._shape or self._keeps_depth):
            return self._writer
        if self._writer is not None:
            if not self._can_change_size:
                (h, w), (new_h, new_w) = self._shape[:2], pixels.shape[:2]
                raise InputError(
                    f"{self.name}: the frames changed from {w} x {h} to {new_w} x {new_h}; this stream holds one size"
                )
            self._writer.close()
            self._writer = None
        height, width = pixels.shape[:2]
        self.parts += 1
        self._writer = self._open_writer(VideoFormat(width, height, self.fps), self.parts)
        self._shape = pixels.shape
        self._start = time or 0.0
        self._last = -_LEAST_STEP
        return self._writer

    def _prepared(self, pixels: Array) -> Array:
        channels = pixels.shape[2]
        if self._color == "bgr" and channels >= 3:
            pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
        if self._keeps_depth:
            return pixels
        if pixels.dtype != np.uint8:
            pixels = from_float(to_float(pixels), np.uint8)
        if channels in (2, 4):
            pixels = pixels[..., :-1]
        return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
