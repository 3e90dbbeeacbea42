"""Pipelines that capture and decode: NVIDIA's elements on a Jetson, GStreamer's own elsewhere.

Sources: Accelerated GStreamer in the Jetson Linux Developer Guide, and the references of GStreamer's plugins.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

from edgesr.errors import BackendError, InputError, UsageError
from edgesr.media.address import Address
from edgesr.media.gst import GStreamer
from edgesr.media.port import AbsentError, UnreachableError

_V4L2_FORMATS = ("mjpeg", "yuyv", "uyvy", "nv12", "i420", "rgb", "bgr", "grey", "h264")
_RAW = {"yuyv": "YUY2", "uyvy": "UYVY", "nv12": "NV12", "i420": "I420", "rgb": "RGB", "bgr": "BGR", "grey": "GRAY8"}
_LATENCY_MS = 100


def source_words(address: Address, gstreamer: GStreamer, *, is_jetson: bool) -> list[str]:
    """Return the words of a pipeline up to raw video in host memory; raise BackendError for what is not installed."""
    if address.kind == "csi":
        return _csi(address, gstreamer)
    if address.kind == "v4l2":
        return [*_v4l2(address), *_decoded(gstreamer, is_jetson=is_jetson)]
    if address.kind == "rtsp":
        return [*_rtsp(address, gstreamer), *_decoded(gstreamer, is_jetson=is_jetson)]
    if address.kind == "rtp":
        return [*_rtp(address, gstreamer), *_decoded(gstreamer, is_jetson=is_jetson)]
    if address.kind == "gst":
        return pipeline_words(address, gstreamer, is_sink=False)
    uri = Path(address.target).resolve().as_uri()
    upright = ["!", "videoflip", "video-direction=auto"] if gstreamer.has("videoflip") else []
    return ["uridecodebin", f"uri={uri}", *_to_host(gstreamer, is_jetson=is_jetson), *upright]


def pipeline_words(address: Address, gstreamer: GStreamer, *, is_sink: bool) -> list[str]:
    """Split a pipeline of the user into words, without the ``appsink`` or ``appsrc`` that OpenCV wants there."""
    text = address.target.strip()
    text = re.sub(r"^appsrc\b[^!]*!\s*", "", text) if is_sink else re.sub(r"!\s*appsink\b[^!]*$", "", text).strip()
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{address}: this pipeline has {str(error).lower()}; check its quotes") from None
    if not words or words[0] == "!" or words[-1] == "!":
        raise UsageError(f"{address}: is no pipeline; give elements with ! between them")
    for word in [words[0], *(b for a, b in pairwise(words) if a == "!")]:
        if re.fullmatch(r"[a-z][a-z0-9_]+", word) and not gstreamer.has(word):
            raise BackendError(f"{address}: GStreamer {gstreamer.version} has no element {word!r}; check its name")
    return words


def explain_source(address: Address, text: str) -> str:
    """Add what to do to a complaint of GStreamer about a source."""
    low = text.lower()
    if "busy" in low:
        return f"{text}; another program uses the camera, `fuser -v {address.target}` says which"
    if "unauthorized" in low or "401" in low:
        return f"{text}; check user and password, as in rtsp://USER:PASSWORD@HOST/PATH"
    if "not found" in low or "404" in low:
        return f"{text}; check the path"
    if "no such file" in low or "cannot identify" in low:
        return f"{text}; check the name and the cable"
    if address.kind == "rtsp" and any(
        word in low for word in ("connect", "resolve", "could not open", "could not read")
    ):
        return f"{text}; check host, port and network"
    if "negotiat" in low or "not-negotiated" in low or "no supported" in low:
        return f"{text}; the source does not offer this size, rate or format, ask for another one"
    if "missing" in low and ("plug-in" in low or "plugin" in low or "decoder" in low):
        return f"{text}; its codec needs another GStreamer plugin, for most: sudo apt install gstreamer1.0-libav"
    if address.kind == "csi":
        return f"{text}; is the camera connected, and does `sudo systemctl restart nvargus-daemon` help?"
    return text


def failure_of(address: Address, text: str) -> type[InputError]:
    """Tell what a complaint of GStreamer about a source means for trying again."""
    low = text.lower()
    if any(word in low for word in ("unauthorized", "401", "forbidden", "403", "negotiat", "missing", "v4l1")):
        return InputError
    if any(word in low for word in ("not found", "404", "no such file", "cannot identify")):
        return AbsentError
    if "busy" in low or address.kind == "csi":
        return UnreachableError
    if address.kind == "rtsp" and any(word in low for word in ("connect", "could not open", "could not read")):
        return UnreachableError
    return InputError


def _csi(address: Address, gstreamer: GStreamer) -> list[str]:
    if not gstreamer.has("nvarguscamerasrc"):
        raise BackendError(
            f"{address}: needs a Jetson with nvarguscamerasrc, which is not installed here; "
            "USB cameras are v4l2:///dev/video0"
        )
    gstreamer.need("nvvidconv")
    size = _size(address) or ",width=1280,height=720"
    rate = _rate(address) or ",framerate=30/1"
    flip = address.whole("flip", 0) or 0
    nvmm = f"video/x-raw(memory:NVMM),format=NV12{size}{rate}"
    camera = ["nvarguscamerasrc", f"sensor-id={int(address.target)}"]
    return [*camera, "!", nvmm, "!", "nvvidconv", f"flip-method={flip}", "!", "video/x-raw,format=BGRx"]


def _v4l2(address: Address) -> list[str]:
    wanted = address.choice("format", _V4L2_FORMATS)
    limits = _size(address) + _rate(address)
    caps = {"mjpeg": "image/jpeg", "h264": "video/x-h264"}.get(wanted or "", "video/x-raw")
    if wanted in _RAW:
        caps += f",format={_RAW[wanted]}"
    asked = ["!", caps + limits] if wanted or limits else []
    return ["v4l2src", f"device={address.target}", *asked]


def _rtsp(address: Address, gstreamer: GStreamer) -> list[str]:
    gstreamer.need("rtspsrc")
    transport = address.choice("transport", ("udp", "tcp", "any"))
    latency = address.whole("latency", 0)
    protocols = {"tcp": ["protocols=tcp"], "udp": ["protocols=udp"]}.get(transport or "any", [])
    buffer = f"latency={_LATENCY_MS if latency is None else latency}"
    # Without the caps the sound might be linked in place of the picture.
    return ["rtspsrc", f"location={address.target}", buffer, *protocols, "!", "application/x-rtp,media=video"]


def _rtp(address: Address, gstreamer: GStreamer) -> list[str]:
    gstreamer.need("udpsrc", "rtpjitterbuffer")
    match = re.fullmatch(r"rtp://@?([^:/]*):(\d{1,5})/?", address.target)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise UsageError(f"{address}: must be rtp://@:PORT, or rtp://GROUP:PORT for multicast")
    codec = (address.choice("codec", ("h264", "h265", "jpeg")) or "h264").upper()
    latency = address.whole("latency", 0)
    host = [f"address={match[1]}"] if match[1] else []
    caps = f"application/x-rtp,media=video,clock-rate=90000,encoding-name={codec}"
    jitter = ["rtpjitterbuffer", f"latency={_LATENCY_MS if latency is None else latency}"]
    return ["udpsrc", f"port={match[2]}", *host, f"caps={caps}", "!", *jitter]


def _decoded(gstreamer: GStreamer, *, is_jetson: bool) -> list[str]:
    return ["!", "decodebin", *_to_host(gstreamer, is_jetson=is_jetson)]


def _to_host(gstreamer: GStreamer, *, is_jetson: bool) -> list[str]:
    """Bring frames of the hardware decoder, which autoplugging takes on a Jetson, into host memory."""
    if is_jetson and gstreamer.has("nvvidconv"):
        return ["!", "nvvidconv", "!", "video/x-raw,format=BGRx"]
    return []


def _size(address: Address) -> str:
    width, height = address.whole("width"), address.whole("height")
    if (width is None) != (height is None):
        raise UsageError(f"{address}: give both width= and height=, or neither")
    return "" if width is None else f",width={width},height={height}"


def _rate(address: Address) -> str:
    fps = address.number("fps", 0.001)
    if fps is None:
        return ""
    return f",framerate={int(fps)}/1" if fps == int(fps) else f",framerate={round(fps * 1001)}/1001"
