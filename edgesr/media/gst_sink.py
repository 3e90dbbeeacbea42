"""Pipelines that encode, show and send: NVIDIA's elements on a Jetson, GStreamer's own elsewhere.

Sources: Accelerated GStreamer in the Jetson Linux Developer Guide, and the references of GStreamer's plugins.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import BackendError, InputError, UsageError
from edgesr.media.address import Address
from edgesr.media.codec import Codec, check_even, check_least, codec_for
from edgesr.media.frame import VideoFormat, matrix_of
from edgesr.media.gst import GStreamer, quoted
from edgesr.media.gst_source import pipeline_words

_LEAST = 16
"""Pixels; muxers of MP4 and WebM refuse less, x264enc and x265enc never end, and avenc_ffv1 encodes black."""
_MUXERS = {".mp4": "mp4mux", ".m4v": "mp4mux", ".mov": "qtmux", ".mkv": "matroskamux", ".webm": "webmmux"}


@dataclass(frozen=True)
class SinkPipeline:
    """The words of a pipeline from raw video on, and the pixels that it wants."""

    words: list[str]
    pixels: str = "RGB"
    is_lossy: bool = False


def sink_pipeline(
    address: Address, gstreamer: GStreamer, video: VideoFormat, *, codec: str | None, bitrate: int | None, encoder: bool
) -> SinkPipeline:
    """Return the pipeline for a sink; ``encoder`` says whether the board has a hardware encoder.

    Raises BackendError for what is not installed, InputError for a size that the encoder refuses.
    """
    if address.kind == "gst":
        words = pipeline_words(address, gstreamer, is_sink=True)
        return SinkPipeline(["videoconvert", "!", *words])
    if address.kind == "display":
        return SinkPipeline(["videoconvert", "!", *_display(address, gstreamer)])
    if address.kind == "v4l2":
        check_even(video, "v4l2loopback in YUY2", is_tall=False)
        raw = f"video/x-raw,format=YUY2,colorimetry={matrix_of(video.height)}"
        sink = ["v4l2sink", f"device={address.target}", "sync=false"]
        return SinkPipeline(["videoconvert", "!", raw, "!", *sink], is_lossy=True)
    chosen = codec_for(address, codec)
    if chosen.is_subsampled:
        check_even(video, chosen.label)
    live = address.kind in ("rtp", "rtsp")
    suffix = "" if live else Path(address.target).suffix.lower()
    if suffix != ".mkv" or chosen.name not in ("vp9", "mjpeg"):
        check_least(video, f"GStreamer with {chosen.label}{suffix and f' in a {suffix} file'}", _LEAST)
    encode = _encoder(chosen, gstreamer, video, bitrate=bitrate, hardware=encoder, live=live)
    if address.kind == "rtp":
        tail = _rtp(address, chosen)
    elif address.kind == "rtsp":
        tail = _rtsp(address, gstreamer, chosen)
    else:
        muxer = _MUXERS[suffix]
        gstreamer.need(muxer)
        tail = [*chosen.parsed, "!", muxer, "!", "filesink", f"location={quoted(address.target)}"]
    return SinkPipeline([*encode, *tail], "BGRx" if chosen.name == "ffv1" else "RGB", chosen.name != "ffv1")


def explain_sink(address: Address, text: str) -> str:
    """Add what to do to a complaint of GStreamer about a sink."""
    low = text.lower()
    if "space" in low or "error while writing" in low or "could not write" in low or "file too large" in low:
        return f"{text}; the disk is full or the file may not grow, what was written so far is kept"
    if "display" in low or "output window" in low:
        return f"{text}; there is no display that takes it, write to a file or to rtp://HOST:PORT"
    if address.kind == "rtsp":
        return f"{text}; edgesr sends to an RTSP server (ANNOUNCE and RECORD), is one listening there?"
    if address.kind == "v4l2":
        return f"{text}; is it a v4l2loopback device? (sudo modprobe v4l2loopback exclusive_caps=1)"
    return text


def _encoder(
    codec: Codec, gstreamer: GStreamer, video: VideoFormat, *, bitrate: int | None, hardware: bool, live: bool
) -> list[str]:
    colors = f"colorimetry={matrix_of(video.height)}"
    rate = bitrate or codec.usual_bitrate(video)
    if codec.hardware and hardware and gstreamer.has(codec.hardware):
        gstreamer.need("nvvidconv")
        inserted = ["insert-sps-pps=true", "idrinterval=30"] if live else []
        into = ["videoconvert", "!", f"video/x-raw,format=I420,{colors}", "!", "nvvidconv"]
        return [*into, "!", "video/x-raw(memory:NVMM),format=NV12", "!", codec.hardware, f"bitrate={rate}", *inserted]
    element = gstreamer.first(*codec.software)
    if element is None:
        gstreamer.need(codec.software[0])
        raise BackendError(f"no encoder for {codec.label}")
    settings = codec.settings(element, bitrate=bitrate, rate=rate, live=live)
    if codec.name == "ffv1":
        return [element, *settings]
    wanted = f"video/x-raw,format={'I420' if codec.is_subsampled else 'Y444'},{colors}"
    if codec.name == "mjpeg":
        # JPEG is BT.601 in full range whatever the size.
        wanted = "video/x-raw,format=Y444,colorimetry=1:4:0:0"
    return ["videoconvert", "!", wanted, "!", element, *settings]


def _rtp(address: Address, codec: Codec) -> list[str]:
    match = re.fullmatch(r"rtp://([^:/@]+|\[[0-9a-fA-F:]+\]):(\d{1,5})/?", address.target)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise UsageError(f"{address}: must be rtp://HOST:PORT")
    if not codec.payload:
        raise UsageError(f"{address}: {codec.label} cannot be sent by RTP; use h264, h265 or mjpeg")
    host = match[1].strip("[]")
    return [*codec.parsed, "!", *codec.payload, "!", "udpsink", f"host={host}", f"port={match[2]}", "sync=false"]


def _rtsp(address: Address, gstreamer: GStreamer, codec: Codec) -> list[str]:
    host = re.match(r"rtsps?://(?:[^/]*@)?([^/:]*)", address.target)
    if host is None or not host[1]:
        raise UsageError(
            f"{address}: names no host; edgesr sends to an RTSP server, such as MediaMTX, and is none itself"
        )
    if not codec.payload:
        raise UsageError(f"{address}: {codec.label} cannot be sent by RTSP; use h264, h265 or mjpeg")
    gstreamer.need("rtspclientsink")
    return [*codec.parsed, "!", "rtspclientsink", f"location={address.target}", "latency=0"]


def check_display(address: Address) -> None:
    """Raise InputError where no display can be there."""
    if not os.environ.get("WAYLAND_DISPLAY") and not os.environ.get("DISPLAY"):
        raise InputError(
            f"{address}: there is no display, neither DISPLAY nor WAYLAND_DISPLAY is set; run in a desktop session, "
            f"set DISPLAY=:{address.target}, or write to a file or to rtp://HOST:PORT"
        )


def _display(address: Address, gstreamer: GStreamer) -> list[str]:
    check_display(address)
    x11, number = os.environ.get("DISPLAY"), int(address.target)
    candidates = ["nv3dsink", "ximagesink", "glimagesink"] if x11 else ["waylandsink", "glimagesink"]
    element = gstreamer.first(*candidates)
    if element is None:
        # Not autovideosink: where it finds no screen it shows nothing and says nothing.
        package = "gstreamer1.0-x" if x11 else "gstreamer1.0-plugins-bad"
        raise BackendError(f"{address}: GStreamer has none of {', '.join(candidates)}; sudo apt install {package}")
    shown = ["nvvidconv", "!", "video/x-raw(memory:NVMM)", "!"] if element == "nv3dsink" else []
    other = [f"display=:{number}"] if number and element == "ximagesink" else []
    newest = ["queue", "max-size-buffers=1", "max-size-time=0", "max-size-bytes=0", "leaky=downstream", "!"]
    return [*newest, *shown, element, *other, "sync=false"]
