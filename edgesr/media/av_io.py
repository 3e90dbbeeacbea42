"""Video through FFmpeg's libraries by PyAV, where there is no GStreamer."""

from __future__ import annotations

import errno
import importlib.util
import os
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from edgesr.errors import BackendError, InputError, UsageError
from edgesr.media.address import Address
from edgesr.media.codec import check_even, check_least, codec_for
from edgesr.media.frame import Color, Frame, VideoFormat, matrix_of
from edgesr.media.port import WAIT, AbsentError, StallError, UnreachableError
from edgesr.media.redact import redact
from edgesr.types import Array

_TIME_BASE = Fraction(1, 90_000)
_SWS_MATRICES = {"bt601": 5, "bt709": 1}
"""SWS_CS_ITU601 and SWS_CS_ITU709 of libswscale."""
_TAGS = {"bt601": 6, "bt709": 1}
"""AVCOL_SPC_SMPTE170M and AVCOL_SPC_BT709, which AVColorPrimaries and AVColorTransferCharacteristic share."""
_SILENT = (errno.EIO, errno.EBUSY, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EAGAIN)
_LIMITED, _FULL = 1, 2
_UNSPECIFIED = 2
_LEAST = {"h265": 16, "av1": 16}
"""Pixels a side of libx265's smallest coding unit, and a margin above SVT-AV1's."""


def has_av() -> bool:
    """Tell whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class AvReader:
    """Frames of a file, stream or device."""

    def __init__(self, address: Address, *, color: Color, timeout: float) -> None:
        import av

        self._address = address
        self._color = color
        self._count = 0
        options: dict[str, str] = {}
        source: dict[str, Any] = {}
        if address.kind == "v4l2":
            source["format"] = "v4l2"
            options |= _v4l2_options(address)
        if address.kind == "rtsp":
            transport = address.choice("transport", ("udp", "tcp", "any"))
            options |= {"fflags": "nobuffer", "rtsp_transport": "tcp" if transport in (None, "any") else transport}
        try:
            self._container = av.open(address.target, options=options, timeout=timeout, **source)
        except av.FFmpegError as error:
            raise _failure(address, error)(f"{address}: {_reason(error)}") from None
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{address}: holds no video")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO" if address.kind == "video" else "SLICE"
        self._rate = stream.average_rate or stream.guessed_rate
        self._frames = self._container.decode(stream)
        self._first: float | None = None
        self._is_closed = False

    @property
    def fps(self) -> Fraction | None:
        """Rate of the stream."""
        return Fraction(self._rate) if self._rate else None

    @property
    def is_finite(self) -> bool:
        """Whether this is a file."""
        return self._address.kind == "video"

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; see Reader. The timeout is the one that the source was opened with."""
        import av

        if self._is_closed:
            return None
        try:
            decoded = next(self._frames)
        except (StopIteration, av.EOFError):
            return None
        except av.ExitError:
            raise StallError(f"{self._address}: gives no frame in time; {WAIT}") from None
        except av.FFmpegError as error:
            raise InputError(f"{self._address}: {_reason(error)}") from None
        rate = self._rate or 30
        seconds = decoded.time if decoded.time is not None else float(self._count / rate)
        self._first = seconds if self._first is None else self._first
        index, self._count = self._count, self._count + 1
        return Frame(self._pixels(decoded), max(0.0, seconds - self._first), index, monotonic())

    def close(self) -> None:
        """Close the source once no read is under way, which its timeout sees to."""
        self._is_closed = True

    def _pixels(self, decoded: Any) -> Array:
        tagged = int(decoded.colorspace)
        matrix = matrix_of(decoded.height) if tagged == _UNSPECIFIED else None
        known = {1: "bt709", 5: "bt601", 6: "bt601"}.get(tagged, matrix)
        source = {"src_colorspace": _SWS_MATRICES[known]} if known else {}
        converted = decoded.reformat(format=f"{self._color}24", dst_color_range=_FULL, **source)
        pixels: Array = converted.to_ndarray()
        turns = round(getattr(decoded, "rotation", 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


class AvWriter:
    """A video file or an RTSP stream."""

    def __init__(self, address: Address, video: VideoFormat, *, codec: str | None, bitrate: int | None) -> None:
        import av

        if address.kind not in ("video", "rtsp"):
            raise UsageError(f"{address}: needs GStreamer; without it edgesr writes files, rtsp:// and -")
        chosen = codec_for(address, codec)
        if chosen.is_subsampled:
            check_even(video, chosen.label)
        if chosen.name in _LEAST:
            check_least(video, f"FFmpeg with {chosen.label}", _LEAST[chosen.name])
        self._address = address
        self._matrix = matrix_of(video.height)
        self._pixels = {"ffv1": "bgr0", "mjpeg": "yuvj444p"}.get(chosen.name, "yuv420p")
        live = address.kind == "rtsp"
        if chosen.name == "av1":
            # SVT-AV1 tells its settings on standard error otherwise.
            os.environ.setdefault("SVT_LOG", "1")
        try:
            self._container = av.open(address.target, "w", format="rtsp" if live else None)
            self._stream: Any = self._container.add_stream(chosen.av, rate=video.fps or Fraction(30))
        except av.FFmpegError as error:
            raise InputError(f"{address}: {_reason(error)}") from None
        except ValueError:
            raise BackendError(f"this PyAV has no encoder {chosen.av}; choose another --codec") from None
        self._stream.width, self._stream.height, self._stream.pix_fmt = video.width, video.height, self._pixels
        self._stream.time_base = self._stream.codec_context.time_base = _TIME_BASE
        by_rate = bitrate is not None or (live and chosen.is_lossy)
        if by_rate:
            self._stream.bit_rate = bitrate or chosen.usual_bitrate(video)
        self._stream.options = _options(chosen.name, by_rate=by_rate, live=live)
        if self._pixels == "yuv420p":
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _TAGS[self._matrix]
            context.color_range = _LIMITED
        self._is_closed = False
        self._last = -1

    def write(self, image: Array, time: float) -> None:
        """Encode one frame."""
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if self._pixels == "yuv420p":
            colors = {"dst_colorspace": _SWS_MATRICES[self._matrix], "src_color_range": _FULL}
            frame = frame.reformat(format=self._pixels, dst_color_range=_LIMITED, **colors)
        else:
            frame = frame.reformat(format=self._pixels)
        frame.time_base = _TIME_BASE
        self._last = frame.pts = max(self._last + 1, round(time / _TIME_BASE))
        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Finish the file."""
        import av

        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except av.FFmpegError as error:
            raise self._failure(error) from None

    def abandon(self) -> None:
        """Finish what can be finished."""
        try:
            self.close()
        except InputError:
            return

    def _failure(self, error: Exception) -> InputError:
        return InputError(f"{self._address}: {_reason(error)}; what was written so far is kept")


def _options(codec: str, *, by_rate: bool, live: bool) -> dict[str, str]:
    """Return the options of an encoder: constant quality where no bitrate was asked for."""
    if codec == "av1":
        return {"preset": "10"} | ({} if by_rate else {"crf": "25"})
    if codec not in ("h264", "h265"):
        return {}
    options = {"preset": "veryfast"} | ({} if by_rate else {"crf": "18"}) | ({"tune": "zerolatency"} if live else {})
    # x265 tells its settings on standard error otherwise.
    return options | ({"x265-params": "log-level=error"} if codec == "h265" else {})


def _v4l2_options(address: Address) -> dict[str, str]:
    width, height = address.whole("width"), address.whole("height")
    formats = {"mjpeg": "mjpeg", "yuyv": "yuyv422", "uyvy": "uyvy422", "nv12": "nv12", "h264": "h264"}
    wanted = address.choice("format", tuple(formats))
    rate = address.number("fps", 0.001)
    options = {"video_size": f"{width}x{height}"} if width and height else {}
    options |= {"framerate": f"{rate:g}"} if rate else {}
    return options | ({"input_format": formats[wanted]} if wanted else {})


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return redact(str(text).strip() or type(error).__name__)


def _failure(address: Address, error: Exception) -> type[InputError]:
    """Tell what an error at opening means for trying again."""
    if address.kind == "video" or "nauthorized" in str(error):
        return InputError
    if "Not Found" in str(error) or isinstance(error, FileNotFoundError):
        return AbsentError
    # EIO and EOF are what FFmpeg makes of a connection that fails or ends early.
    is_silent = isinstance(error, (ConnectionError, TimeoutError, EOFError)) or getattr(error, "errno", 0) in _SILENT
    return UnreachableError if is_silent else InputError


def check_file(path: str) -> None:
    """Raise InputError for what is no readable file."""
    from edgesr.image.source import open_source

    open_source(Path(path)).close()
