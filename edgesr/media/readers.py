"""What reads each kind of source."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache, partial

from edgesr.errors import BackendError, InputError
from edgesr.media.address import Address
from edgesr.media.frame import Color
from edgesr.media.gst import PACKAGES, GStreamer
from edgesr.media.library import Through, library
from edgesr.media.places import check_camera, check_host, is_y4m
from edgesr.media.port import Reader


def reader_opener(
    address: Address, color: Color, timeout: float, through: Through, *, waits: bool = False
) -> tuple[Callable[[], Reader], str]:
    """Return what opens a reader, and the name of the library behind it; check beforehand what can be checked.

    With ``waits`` a device need not be there yet.
    """
    if address.kind == "stdio":
        return partial(_open_stdin, address, color), "edgesr"
    if address.kind in ("pictures", "sequence"):
        from edgesr.media.pictures import PictureReader

        reader = PictureReader(address, color=color)
        return lambda: reader, "edgesr"
    if address.kind == "video":
        from edgesr.media.av_io import check_file

        check_file(address.target)
    if is_y4m(address):
        return partial(_open_y4m, address, color), "edgesr"
    if address.kind == "v4l2" and not waits:
        check_camera(address)
    chosen = library(through, str(address))
    if chosen.gstreamer is not None:
        return partial(_checked, address, _gst_opener(address, color, chosen.gstreamer)), chosen.name
    if address.kind not in ("video", "v4l2", "rtsp"):
        raise BackendError(f"{address}: needs GStreamer; {PACKAGES}")
    from edgesr.media.av_io import AvReader

    return partial(_checked, address, partial(AvReader, address, color=color, timeout=timeout)), chosen.name


def _checked(address: Address, open_reader: Callable[[], Reader]) -> Reader:
    """Open a reader once its device or host is known to be there: libraries hide which of both failed."""
    if address.kind == "v4l2":
        check_camera(address)
    if address.kind == "rtsp":
        check_host(address)
    return open_reader()


def _gst_opener(address: Address, color: Color, gstreamer: GStreamer) -> Callable[[], Reader]:
    from edgesr.media.gst_process import GstReader
    from edgesr.media.gst_source import explain_source, failure_of, source_words

    words = source_words(address, gstreamer, is_jetson=_is_jetson())
    return lambda: GstReader(
        gstreamer,
        words,
        name=str(address),
        color=color,
        is_finite=address.kind in ("video", "gst"),
        explain=partial(explain_source, address),
        failure=partial(failure_of, address),
    )


def _open_stdin(address: Address, color: Color) -> Reader:
    from edgesr.media.descriptor_io import ByteReader
    from edgesr.media.mjpeg import MjpegReader
    from edgesr.media.raw import RawReader
    from edgesr.media.y4m import SIGNATURE, Y4mReader

    try:
        data = ByteReader(sys.stdin.fileno(), "standard input", owns=False)
    except (AttributeError, ValueError, OSError):
        raise InputError("-: standard input is closed; pipe video into edgesr") from None
    wanted = address.options.get("format")
    if wanted not in (None, "y4m", "mjpeg"):
        return RawReader(data, address, color=color)
    head = data.peek(len(SIGNATURE), 3600.0)
    if not head:
        raise InputError("-: standard input is empty; pipe video into edgesr")
    if head.startswith(SIGNATURE) and wanted in (None, "y4m"):
        matrix = address.choice("matrix", ("bt601", "bt709"))
        levels = address.choice("range", ("limited", "full"))
        return Y4mReader(data, color=color, matrix=matrix, levels=levels)  # type: ignore[arg-type]
    if head.startswith(b"\xff\xd8") or wanted == "mjpeg":
        return MjpegReader(data, address, color=color)
    raise InputError(
        f"-: standard input begins with the bytes {head[:8].hex(' ')}, neither Y4M nor Motion JPEG; for raw video "
        "declare it: '-?format=rgb24&width=640&height=480&fps=30'"
    )


def _open_y4m(address: Address, color: Color) -> Reader:
    from edgesr.media.descriptor_io import ByteReader
    from edgesr.media.y4m import Y4mReader

    return Y4mReader(ByteReader(os.open(address.target, os.O_RDONLY), str(address), owns=True), color=color)


@lru_cache(maxsize=1)
def _is_jetson() -> bool:
    from edgesr.device import this_machine

    return this_machine().jetson is not None
