"""Codecs of video files and streams: which element encodes them, what they lose, which sizes they take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import InputError, UsageError
from edgesr.media.address import Address, closest
from edgesr.media.frame import VideoFormat

_BITS_PER_PIXEL = 0.25
_USUAL_FPS = 30.0
_QUALITY = 18
"""Constant rate factor: no difference to be seen at normal distance."""


@dataclass(frozen=True)
class Codec:
    """One way to encode video."""

    name: str
    label: str
    software: tuple[str, ...]
    """GStreamer elements, best first."""
    av: str
    """Encoder of FFmpeg."""
    hardware: str = ""
    """Element on a Jetson with an encoder."""
    parsed: tuple[str, ...] = ()
    payload: tuple[str, ...] = ()
    is_subsampled: bool = True
    """Whether colour has half the resolution (4:2:0), so that both sides must be even."""

    @property
    def is_lossy(self) -> bool:
        """Whether the decoded pixels differ from those that went in."""
        return self.name != "ffv1"

    def usual_bitrate(self, video: VideoFormat) -> int:
        """Return bits per second for encoders that want a number."""
        fps = float(video.fps) if video.fps else _USUAL_FPS
        return int(video.width * video.height * fps * _BITS_PER_PIXEL) + 500_000

    def settings(self, element: str, *, bitrate: int | None, rate: int, live: bool) -> list[str]:
        """Return the properties of a software element; constant quality where no bitrate was asked for."""
        if element in ("x264enc", "x265enc"):
            quality = [f"bitrate={max(1, (bitrate or rate) // 1000)}"]
            if bitrate is None and not live and element == "x264enc":
                quality = ["pass=qual", f"quantizer={_QUALITY}"]
            fast = ["tune=zerolatency", "speed-preset=veryfast", "key-int-max=30"]
            return [*quality, *(fast if live else ["speed-preset=veryfast"])]
        if element == "openh264enc":
            return [f"bitrate={bitrate or rate}"]
        if element in ("vp9enc", "vp8enc"):
            return [f"target-bitrate={bitrate or rate}", "deadline=1", "cpu-used=5"]
        if element == "av1enc":
            return [f"target-bitrate={max(1, (bitrate or rate) // 1000)}", "usage-profile=realtime", "cpu-used=8"]
        if element == "jpegenc":
            return ["quality=95"]
        return []


CODECS = {
    codec.name: codec
    for codec in (
        Codec(
            "h264", "H.264", ("x264enc", "openh264enc", "avenc_h264_omx"), "libx264", "nvv4l2h264enc",
            ("!", "h264parse"), ("rtph264pay", "config-interval=1"),
        ),
        Codec(
            "h265", "H.265", ("x265enc",), "libx265", "nvv4l2h265enc",
            ("!", "h265parse"), ("rtph265pay", "config-interval=1"),
        ),
        Codec("vp9", "VP9", ("vp9enc",), "libvpx-vp9"),
        Codec("av1", "AV1", ("av1enc",), "libsvtav1", "nvv4l2av1enc", ("!", "av1parse")),
        Codec("mjpeg", "Motion JPEG", ("jpegenc",), "mjpeg", payload=("rtpjpegpay",), is_subsampled=False),
        Codec("ffv1", "FFV1", ("avenc_ffv1",), "ffv1", is_subsampled=False),
    )
}  # fmt: skip

CONTAINERS = {
    ".mp4": ("h264", "h265", "av1"),
    ".m4v": ("h264", "h265"),
    ".mov": ("h264", "h265", "mjpeg"),
    ".mkv": ("h264", "h265", "ffv1", "vp9", "av1", "mjpeg"),
    ".webm": ("vp9", "av1"),
}
"""What each kind of file may hold, the usual one first."""


def codec_for(address: Address, name: str | None) -> Codec:
    """Return the codec for a file or stream, the usual one where none is named."""
    if name is not None and name not in CODECS:
        raise UsageError(f"codec {name!r} must be one of {', '.join(CODECS)}{closest(name, tuple(CODECS))}")
    if address.kind in ("rtp", "rtsp"):
        return CODECS[name or "h264"]
    suffix = Path(address.target).suffix.lower()
    if suffix not in CONTAINERS:
        raise UsageError(
            f"{address}: edgesr cannot write {suffix or 'such'} files; use {', '.join(CONTAINERS)} or .y4m"
        )
    if name is not None and name not in CONTAINERS[suffix]:
        fits = next((kind for kind, names in CONTAINERS.items() if name in names), ".mkv")
        raise UsageError(f"{address}: {suffix} files do not hold {name}; write a {fits} file")
    return CODECS[name or CONTAINERS[suffix][0]]


def check_least(video: VideoFormat, label: str, least: int) -> None:
    """Refuse frames that an encoder or a kind of file is too large for, whose own message says less or never comes."""
    if min(video.width, video.height) < least:
        raise InputError(
            f"{label} takes frames from {least} pixels a side, these are {video}; write pictures (frames/%05d.png)"
        )


def check_even(video: VideoFormat, label: str, *, is_tall: bool = True) -> None:
    """Refuse odd sizes where colour has half the resolution."""
    if video.width % 2 or (is_tall and video.height % 2):
        raise InputError(
            f"{label} takes even sizes only, the frames are {video.width} x {video.height}; write a .mkv file with "
            "--codec ffv1, a .y4m file, or pictures (frames/%05d.png)"
        )
