"""YUV4MPEG2: uncompressed video with its size and rate, as mjpegtools, FFmpeg and x264 read and write it."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from time import monotonic

import numpy as np

from edgesr.errors import InputError
from edgesr.media.descriptor_io import ByteReader, write_all
from edgesr.media.frame import Color, Frame, VideoFormat, matrix_of
from edgesr.media.yuv import Matrix, Range, from_rgb, grey_levels, to_rgb
from edgesr.types import Array

SIGNATURE = b"YUV4MPEG2"
_LONGEST_LINE = 1024
_CHROMA = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "mono": (0, 0)}
"""How many pixels share one chroma sample, across and down."""
_MOST_PIXELS = 1 << 28


class Y4mReader:
    """Frames of a Y4M stream; ``matrix`` and ``levels`` replace what the stream does not say."""

    def __init__(
        self, data: ByteReader, *, color: Color, matrix: Matrix | None = None, levels: Range | None = None
    ) -> None:
        self._data = data
        self._color = color
        self._matrix = matrix
        self._levels = levels
        self._header: _Header | None = None
        self._count = 0

    @property
    def fps(self) -> Fraction | None:
        """Rate that the header names."""
        return self._header.fps if self._header else None

    @property
    def is_finite(self) -> bool:
        """Always: its end is the end."""
        return True

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; see Reader."""
        if self._header is None:
            self._header = _parse(self._data.read_line(_LONGEST_LINE, timeout), self._data.name)
        header = self._header
        line = self._data.read_line(_LONGEST_LINE, timeout)
        if not line:
            return None
        if not line.startswith(b"FRAME"):
            raise InputError(f"{self._data.name}: frame {self._count} begins with {line[:8]!r} in place of FRAME")
        data = self._data.read(header.frame_bytes, timeout)
        if len(data) < header.frame_bytes:
            raise InputError(f"{self._data.name}: ends in the middle of frame {self._count} ({len(data)} of its bytes)")
        image = header.decode(data, self._matrix, self._levels)
        if self._color == "bgr" and image.shape[2] == 3:
            image = np.ascontiguousarray(image[..., ::-1])
        index, self._count = self._count, self._count + 1
        return Frame(image, float(index / header.fps), index, monotonic())

    def close(self) -> None:
        """Close the stream."""
        self._data.close()


class Y4mWriter:
    """A Y4M file or stream, 4:2:0 in limited range, BT.709 above 576 lines, BT.601 below.

    Every frame is one step of the rate; times between the steps cannot be stored.
    """

    def __init__(self, target: Path | int, video: VideoFormat, name: str) -> None:
        self._name = name
        self._video = video
        self._owns = isinstance(target, Path)
        if isinstance(target, Path):
            try:
                self._fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            except OSError as error:
                raise InputError(f"{name}: cannot be written ({error.strerror}); choose another -o") from None
        else:
            self._fd = target
        fps = video.fps or Fraction(30)
        head = f"{SIGNATURE.decode()} W{video.width} H{video.height} F{fps.numerator}:{fps.denominator}"
        write_all(self._fd, f"{head} Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n".encode(), name)

    def write(self, image: Array, time: float) -> None:
        """Append one frame."""
        planes = from_rgb(image, matrix_of(self._video.height), "limited", is_subsampled=True)
        write_all(self._fd, b"FRAME\n" + b"".join(plane.tobytes() for plane in planes), self._name)

    def close(self) -> None:
        """Close the file."""
        if self._owns:
            self._owns = False
            os.close(self._fd)

    def abandon(self) -> None:
        """Close the file; the frames that it holds can be read."""
        self.close()


class _Header:
    def __init__(self, width: int, height: int, fps: Fraction, chroma: str, levels: Range | None) -> None:
        self.width, self.height, self.fps = width, height, fps
        self.levels = levels
        across, down = _CHROMA[chroma]
        self.chroma = (-(-height // down), -(-width // across)) if across else (0, 0)

    @property
    def frame_bytes(self) -> int:
        return self.width * self.height + 2 * self.chroma[0] * self.chroma[1]

    def decode(self, data: bytes, matrix: Matrix | None, levels: Range | None) -> Array:
        samples = np.frombuffer(data, np.uint8)
        luma = samples[: self.width * self.height].reshape(self.height, self.width)
        levels = levels or self.levels or "limited"
        if not self.chroma[0]:
            return np.array(grey_levels(luma, levels))[..., np.newaxis]
        u, v = samples[luma.size :].reshape(2, *self.chroma)
        return to_rgb(luma, u, v, matrix or matrix_of(self.height), levels)


def _parse(line: bytes, name: str) -> _Header:
    words = line.decode("ascii", "replace").split(" ")
    if words[0].encode() != SIGNATURE:
        raise InputError(f"{name}: begins with {line[:10]!r}, not as Y4M does")
    given = {word[0]: word[1:] for word in words[1:] if word and word[0] != "X"}
    ranges = [word.removeprefix("XCOLORRANGE=").lower() for word in words if word.startswith("XCOLORRANGE=")]
    try:
        width, height = int(given["W"]), int(given["H"])
        top, _, bottom = given.get("F", "30:1").partition(":")
        fps = Fraction(int(top), int(bottom or 1)) if int(top) and int(bottom or 1) else Fraction(30)
    except (KeyError, ValueError):
        raise InputError(f"{name}: its Y4M header {line[:80]!r} names no size and rate") from None
    if width < 1 or height < 1 or width * height > _MOST_PIXELS or fps <= 0:
        raise InputError(f"{name}: its Y4M header names {width} x {height} pixels at {fps} frames/s")
    if given.get("I", "p") not in ("p", "?", ""):
        raise InputError(f"{name}: is interlaced; deinterlace it first, for example with ffmpeg -vf yadif")
    chroma = given.get("C", "420jpeg")
    kind = {"420jpeg": "420", "420mpeg2": "420", "420paldv": "420"}.get(chroma, chroma)
    if kind not in _CHROMA:
        raise InputError(f"{name}: Y4M with C{chroma} is not supported; use 8 bits of 420, 422, 444 or mono")
    levels: Range | None = {"limited": "limited", "full": "full"}.get(ranges[0] if ranges else "")  # type: ignore[assignment]
    return _Header(width, height, fps, kind, levels)
