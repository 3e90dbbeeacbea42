"""Open sources and sinks by their addresses."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from edgesr.errors import UsageError
from edgesr.media.address import Address
from edgesr.media.frame import Color
from edgesr.media.library import Through
from edgesr.media.parse import parse_path, parse_sink, parse_source
from edgesr.media.places import is_y4m
from edgesr.media.readers import reader_opener
from edgesr.media.sink import Sink
from edgesr.media.source import Patience, Source
from edgesr.media.writers import writer_opener


def open_source(
    uri: str | os.PathLike[str],
    color: Color = "rgb",
    *,
    timeout: float = 10.0,
    connect_timeout: float | None = None,
    reconnect: int = 5,
    through: Through = "auto",
    note: Callable[[str], None] = lambda text: None,
) -> Source:
    """Open a camera, stream, video or pictures: iterate over what is returned, or see Source.

    ``uri`` is a file, folder, glob or ``frames/%05d.png``; ``csi://0``, ``/dev/video0``, ``rtsp://HOST/PATH``,
    ``rtp://@:PORT``, a GStreamer pipeline up to raw video, or ``-`` for standard input. ``color`` is the order of the
    colours in ``Frame.image``. A source that gives no frame for ``timeout`` seconds counts as lost; a camera or stream
    that is lost is opened again ``reconnect`` times in a row, and ``note`` is told. One that does not answer, is busy
    or gives no frame at first is tried for ``connect_timeout`` seconds (None: 30); one whose name looks like a typing
    error (no such device, host or path) only where that is given, and else fails at once. ``through`` names the
    library: ``"gstreamer"``, ``"pyav"`` or ``"auto"``, which takes the first that is installed.

    Raises UsageError for a wrong address, InputError for what is not there, BackendError where a library is missing.
    """
    _check_color(color)
    if not timeout > 0 or reconnect < 0 or (connect_timeout or 0) < 0:
        given = f"{timeout}, {reconnect} and {connect_timeout}"
        raise UsageError(f"timeout must be above 0, reconnect and connect_timeout not below, got {given}")
    address = parse_source(uri) if isinstance(uri, str) else parse_path(uri)
    patience = Patience(timeout=timeout, connect=connect_timeout, attempts=reconnect)
    opener, path = reader_opener(address, color, timeout, through, waits=bool(connect_timeout))
    return Source(opener, str(address), is_live=address.is_live, patience=patience, note=note, path=path)


def open_sink(
    uri: str | os.PathLike[str],
    color: Color = "rgb",
    *,
    fps: float | Fraction | None = None,
    codec: str | None = None,
    bitrate: int | None = None,
    timeout: float = 10.0,
    through: Through = "auto",
) -> Sink:
    """Open a video file, display or stream: call ``write`` of what is returned with frames, then ``close`` it.

    ``uri`` is a ``.mp4``, ``.mov``, ``.mkv``, ``.webm`` or ``.y4m`` file, ``frames/%05d.png`` or a folder,
    ``display://0``, ``rtp://HOST:PORT``, ``rtsp://HOST/PATH`` of a server, a v4l2loopback device, a GStreamer pipeline
    from raw video on, or ``-`` for Y4M on standard output. ``color`` is the order of the colours that are written,
    ``codec`` h264, h265, vp9, av1, mjpeg or the lossless ffv1, ``bitrate`` in bits per second (default: constant
    quality). A sink that takes no frame for ``timeout`` seconds is an InputError. ``through`` as for ``open_source``.
    """
    _check_color(color)
    address = parse_sink(uri) if isinstance(uri, str) else parse_path(uri)
    if (codec is not None or bitrate is not None) and (address.kind not in ("video", "rtp", "rtsp") or is_y4m(address)):
        raise UsageError(f"{address}: takes no codec and no bitrate, they are for video files and streams")
    rate = None if fps is None else Fraction(fps).limit_denominator(1001)
    open_writer, path = writer_opener(address, codec, bitrate, timeout, through)
    return Sink(
        open_writer,
        str(address),
        color=color,
        fps=rate,
        keeps_depth=address.kind in ("pictures", "sequence"),
        can_change_size=address.kind != "stdio",
        is_lossy=_is_lossy(address, codec),
        path=path,
    )


def _check_color(color: str) -> None:
    if color not in ("rgb", "bgr"):
        raise UsageError(f"color must be 'rgb' or 'bgr', got {color!r}")


def _is_lossy(address: Address, codec: str | None) -> bool:
    if address.kind in ("pictures", "sequence", "display", "gst"):
        return Path(address.target).suffix.lower() in (".jpg", ".jpeg", ".webp")
    return codec != "ffv1"
