"""What writes each kind of sink."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from edgesr.errors import BackendError
from edgesr.media.address import Address
from edgesr.media.frame import VideoFormat
from edgesr.media.gst import PACKAGES
from edgesr.media.library import Through, library
from edgesr.media.places import check_camera, check_place, is_y4m
from edgesr.media.port import Writer


def writer_opener(
    address: Address, codec: str | None, bitrate: int | None, timeout: float, through: Through
) -> tuple[Callable[[VideoFormat, int], Writer], str]:
    """Return what opens a writer for a format and the number of a part, and the library's name; check beforehand."""
    if address.kind == "stdio":
        return lambda video, part: _y4m_stdout(video), "edgesr"
    if address.kind in ("pictures", "sequence"):
        return partial(_picture_writer, address), "edgesr"
    if address.kind == "video":
        from edgesr.media.codec import codec_for

        if not is_y4m(address):
            codec_for(address, codec)
        check_place(address)
    if is_y4m(address):
        return partial(_y4m_file, address), "edgesr"
    if address.kind == "v4l2":
        check_camera(address)
    chosen = library(through, str(address))
    if chosen.gstreamer is None:
        from edgesr.media.av_io import AvWriter

        if address.kind not in ("video", "rtsp"):
            raise BackendError(f"{address}: needs GStreamer; {PACKAGES}")
        return lambda video, part: AvWriter(_part(address, part), video, codec=codec, bitrate=bitrate), chosen.name
    gstreamer = chosen.gstreamer

    def open_writer(video: VideoFormat, part: int) -> Writer:
        from edgesr.media.gst_process import GstWriter
        from edgesr.media.gst_sink import explain_sink, sink_pipeline

        place = _part(address, part)
        encoder = _has_encoder()
        pipeline = sink_pipeline(place, gstreamer, video, codec=codec, bitrate=bitrate, encoder=encoder)
        explain = partial(explain_sink, place)
        return GstWriter(
            gstreamer,
            pipeline.words,
            video,
            name=str(place),
            pixels=pipeline.pixels,
            timeout=timeout,
            is_file=place.kind in ("video", "gst"),
            explain=explain,
        )

    if address.kind == "display":
        from edgesr.media.gst_sink import check_display

        check_display(address)
    return open_writer, chosen.name


def _picture_writer(address: Address, video: VideoFormat, part: int) -> Writer:
    from edgesr.media.pictures import PictureWriter

    return PictureWriter(address, video)


def _y4m_stdout(video: VideoFormat) -> Writer:
    from edgesr.media.y4m import Y4mWriter

    return Y4mWriter(sys.stdout.fileno(), video, "standard output")


def _y4m_file(address: Address, video: VideoFormat, part: int) -> Writer:
    from edgesr.media.y4m import Y4mWriter

    place = _part(address, part)
    return Y4mWriter(Path(place.target), video, str(place))


def _part(address: Address, number: int) -> Address:
    """Return where the frames after a change of size go: ``clip-2.mp4`` after ``clip.mp4``."""
    if number == 1 or address.kind != "video":
        return address
    path = Path(address.target)
    return Address("video", str(path.with_name(f"{path.stem}-{number}{path.suffix}")))


@lru_cache(maxsize=1)
def _has_encoder() -> bool:
    """Tell whether this is a board with NVIDIA's video encoder; Orin Nano has none."""
    from edgesr.device import this_machine

    jetson = this_machine().jetson
    if jetson is None:
        return False
    # The module decides; boards of other makers carry the model of NVIDIA's carrier.
    return "Orin Nano" not in (jetson.module.name if jetson.module else jetson.model)
