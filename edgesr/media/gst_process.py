"""Frames out of and into a GStreamer pipeline that runs as a child process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from fractions import Fraction
from time import monotonic

import numpy as np

from edgesr.errors import InputError
from edgesr.media import gdp
from edgesr.media.frame import Color, Frame, VideoFormat
from edgesr.media.gst import Child, GStreamer
from edgesr.media.port import WAIT, StallError
from edgesr.types import Array

_FINISH_SECONDS = 60.0
_USUAL_FPS = 30
_LEAVE_SECONDS = 2.0
"""A stream or display has nothing to finish; some of their elements never end by themselves."""


class GstReader:
    """Frames of a pipeline, given as words up to where raw video comes out; ``name`` stands in messages."""

    def __init__(
        self,
        gstreamer: GStreamer,
        words: list[str],
        *,
        name: str,
        color: Color,
        is_finite: bool,
        explain: Callable[[str], str] = lambda text: text,
        failure: Callable[[str], type[InputError]] = lambda text: InputError,
    ) -> None:
        pixels = f"video/x-raw,format={color.upper()}"
        self._name = name
        self._explain = explain
        self._failure = failure
        self._child = Child(gstreamer, [*words, "!", "videoconvert", "!", pixels, "!", "gdppay"], reads=True)
        self._caps: gdp.Caps | None = None
        self._is_finite = is_finite
        self._count = 0
        self._first: int | None = None
        self._busy = threading.Lock()
        self._is_closed = False

    @property
    def fps(self) -> Fraction | None:
        """Nominal rate from the caps."""
        return self._caps.fps if self._caps else None

    @property
    def is_finite(self) -> bool:
        """Whether the pipeline plays something with an end."""
        return self._is_finite

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; see Reader."""
        with self._busy:
            if self._is_closed:
                return None
            deadline = monotonic() + timeout
            header = bytearray(gdp.HEADER_BYTES)
            while True:
                if not self._fill(memoryview(header), deadline):
                    self._end()
                    return None
                packet = gdp.parse_header(bytes(header))
                payload = np.empty(packet.length, np.uint8)
                if packet.length and not self._fill(payload.data, deadline):
                    self._end()
                    return None
                if packet.kind == gdp.CAPS:
                    self._caps = gdp.parse_caps(payload.tobytes())
                elif packet.kind == gdp.BUFFER and packet.length:
                    return self._frame(packet, payload)

    def close(self) -> None:
        """End the child, which ends a ``read`` too."""
        if not self._is_closed:
            self._is_closed = True
            self._child.stop()
            with self._busy:
                self._child.hang_up()

    def _frame(self, packet: gdp.Packet, payload: Array) -> Frame:
        caps = self._caps
        if caps is None or packet.length != caps.stride * caps.height:
            size = f"{caps.width} x {caps.height}" if caps else "unknown size"
            raise InputError(f"{self._name}: a frame of {size} came with {packet.length} bytes")
        rows = payload.reshape(caps.height, caps.stride)[:, : 3 * caps.width]
        pts = packet.pts if packet.pts != gdp.NO_TIME else 0
        self._first = pts if self._first is None else self._first
        index, self._count = self._count, self._count + 1
        seconds = max(0, pts - self._first) / 1e9
        return Frame(rows.reshape(caps.height, caps.width, 3), seconds, index, monotonic())

    def _fill(self, view: memoryview, deadline: float) -> bool:
        """Fill ``view`` from the pipe; False at its end."""
        done = 0
        while done < len(view):
            if not self._child.wait_ready(deadline):
                said = self._child.complaint
                raise StallError(f"{self._name}: gives no frame in time{said and f' ({said})'}; {WAIT}")
            try:
                count = os.readv(self._child.fd, [view[done:]])
            except BlockingIOError:
                continue
            if count == 0:
                return False
            done += count
        return True

    def _end(self) -> None:
        if self._is_closed:
            return
        code = self._child.finish(5.0)
        if code is None:
            self._child.stop()
        self._is_closed = True
        said = self._child.complaint
        if said:
            raise self._failure(said)(f"{self._name}: {self._explain(said)}")
        if code:
            raise InputError(f"{self._name}: the pipeline ended with code {code}")
        if self._count == 0:
            raise InputError(f"{self._name}: ended without a frame; GStreamer gave no reason")


class GstWriter:
    """Frames for a pipeline, given as words from where raw video goes in; ``name`` stands in messages."""

    def __init__(
        self,
        gstreamer: GStreamer,
        words: list[str],
        video: VideoFormat,
        *,
        name: str,
        pixels: str = "RGB",
        timeout: float = 10.0,
        is_file: bool = True,
        explain: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._name = name
        self._explain = explain
        self._timeout = timeout
        self._is_file = is_file
        self._video = video
        self._has_padding = pixels == "BGRx"
        self._child = Child(gstreamer, ["gdpdepay", "!", *words], reads=False)
        self._is_closed = False
        rate = video.fps or Fraction(0)
        # Without a duration the last frame lasts for no time, and players leave it out.
        self._duration = round(1e9 / (rate or _USUAL_FPS))
        caps = (
            f"video/x-raw, format=(string){pixels}, width=(int){video.width}, height=(int){video.height}, "
            f"framerate=(fraction){rate.numerator}/{rate.denominator}, pixel-aspect-ratio=(fraction)1/1, "
            "interlace-mode=(string)progressive, colorimetry=(string)sRGB"
        )
        self._send(gdp.opening(caps))

    def write(self, image: Array, time: float) -> None:
        """Send one frame."""
        height, width, _ = image.shape
        if self._has_padding:
            rows: Array = np.full((height, width * 4), 255, np.uint8)
            rows.reshape(height, width, 4)[..., :3] = image[..., ::-1]
        else:
            rows = np.ascontiguousarray(image).reshape(height, 3 * width)
            if 3 * width % 4:
                rows = np.pad(rows, ((0, 0), (0, -3 * width % 4)))
        self._send(gdp.frame_header(rows.size, max(0, round(time * 1e9)), self._duration))
        self._send(rows.reshape(-1).data)

    def close(self) -> None:
        """End the stream and wait until the pipeline has finished its file."""
        if self._is_closed:
            return
        self._is_closed = True
        code = self._child.finish(_FINISH_SECONDS if self._is_file else _LEAVE_SECONDS)
        if code is None:
            self._child.stop()
            if not self._is_file:
                return
            raise InputError(f"{self._name}: was not finished within {_FINISH_SECONDS:.0f} s and may be incomplete")
        if self._child.complaint or code:
            raise self._failure()

    def abandon(self) -> None:
        """Let the pipeline finish what it has, and end it where it does not."""
        if not self._is_closed:
            self._is_closed = True
            if self._child.finish(5.0) is None:
                self._child.stop()

    def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        deadline = monotonic() + self._timeout
        while view:
            if not self._child.wait_ready(deadline):
                said = self._child.complaint
                raise InputError(f"{self._name}: takes no frame for {self._timeout:g} s{said and f' ({said})'}")
            try:
                count = os.write(self._child.fd, view)
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._child.finish(5.0)
                raise self._failure() from None
            view = view[count:]

    def _failure(self) -> InputError:
        said = self._child.complaint or "GStreamer ended without a reason"
        return InputError(f"{self._name}: {self._explain(said)}")
