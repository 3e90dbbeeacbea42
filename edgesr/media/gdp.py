"""The GStreamer Data Protocol: raw frames with size and time through a pipe, as ``gdppay`` and ``gdpdepay`` speak it.

A packet is a header of 62 bytes and a payload. Source: gst/gdp/dataprotocol.c of gst-plugins-bad, version 1.0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from edgesr.errors import InputError

HEADER_BYTES = 62
BUFFER = 1
CAPS = 2
NO_TIME = 2**64 - 1

_HEADER = struct.Struct(">BBBBHIQQQQHQ")
_FIRST_EVENT = 64
_STREAM_START = _FIRST_EVENT + 10254
_SEGMENT = _FIRST_EVENT + 17934
_LARGEST = 1 << 30
_STREAM = "GstEventStreamStart, stream-id=(string)edgesr, flags=(GstStreamFlags)GST_STREAM_FLAG_NONE, group-id=(uint)1;"
_TIMELINE = (
    'GstEventSegment, segment=(GstSegment)"segment, flags=(GstSegmentFlags)GST_SEGMENT_FLAG_NONE, rate=(double)1, '
    "applied-rate=(double)1, format=(GstFormat)time, base=(guint64)0, offset=(guint64)0, start=(guint64)0, "
    f'stop=(guint64){NO_TIME}, time=(guint64)0, position=(guint64)0, duration=(guint64){NO_TIME};";'
)


@dataclass(frozen=True)
class Packet:
    """The header of one packet."""

    kind: int
    length: int
    """Bytes of payload."""
    pts: int
    """Nanoseconds, or NO_TIME."""


@dataclass(frozen=True)
class Caps:
    """What the caps of raw RGB or BGR video say."""

    width: int
    height: int
    fps: Fraction | None

    @property
    def stride(self) -> int:
        """Bytes of one row; GStreamer rounds them up to four."""
        return (3 * self.width + 3) & ~3


def parse_header(data: bytes) -> Packet:
    """Return what a header says; raise InputError for bytes that are none."""
    major, _, _, _, kind, length, pts, *_ = _HEADER.unpack_from(data)
    if major != 1 or not (kind in (BUFFER, CAPS) or kind >= _FIRST_EVENT) or length > _LARGEST:
        raise InputError(f"the stream holds garbage (a header of {data[:8].hex(' ')})")
    return Packet(kind, length, pts)


def parse_caps(payload: bytes) -> Caps:
    """Return size and rate from the text of caps."""
    text = payload.rstrip(b"\0").decode("utf-8", "replace")
    width, height = (re.search(rf"\b{name}=\(int\)(\d+)", text) for name in ("width", "height"))
    if not text.startswith("video/x-raw") or width is None or height is None:
        raise InputError(f"the pipeline gives {text[:80]!r}, not raw video")
    rate = re.search(r"\bframerate=\(fraction\)(\d+)/(\d+)", text)
    fps = Fraction(int(rate[1]), int(rate[2])) if rate and int(rate[1]) and int(rate[2]) else None
    return Caps(int(width[1]), int(height[1]), fps)


def opening(caps: str) -> bytes:
    """Return the packets before the first frame of a stream with these caps."""
    texts = ((_STREAM_START, _STREAM), (CAPS, caps), (_SEGMENT, _TIMELINE))
    return b"".join(_packet(kind, text.encode() + b"\0") for kind, text in texts)


def frame_header(length: int, pts: int, duration: int) -> bytes:
    """Return the header before a frame of ``length`` bytes, shown from ``pts`` on for ``duration`` nanoseconds."""
    return _HEADER.pack(1, 0, 0, 0, BUFFER, length, pts, duration, NO_TIME, NO_TIME, 0, NO_TIME) + bytes(10)


def packets(data: bytes) -> Iterator[tuple[Packet, bytes]]:
    """Yield the whole packets at the beginning of ``data``."""
    start = 0
    while start + HEADER_BYTES <= len(data):
        packet = parse_header(data[start : start + HEADER_BYTES])
        end = start + HEADER_BYTES + packet.length
        if end > len(data):
            return
        yield packet, data[start + HEADER_BYTES : end]
        start = end


def _packet(kind: int, payload: bytes) -> bytes:
    head = _HEADER.pack(1, 0, 0, 0, kind, len(payload), NO_TIME, NO_TIME, NO_TIME, NO_TIME, 0, NO_TIME)
    return head + bytes(10) + payload
