"""Check which library reads and writes cameras, streams and video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgesr.device import HERE, Machine
from edgesr.doctor.check import Check
from edgesr.doctor.interpreter import Interpreter
from edgesr.media.gst import PACKAGES, find_gstreamer

_ENCODERS = {"H.264": ("nvv4l2h264enc", "x264enc", "openh264enc"), "FFV1": ("avenc_ffv1",)}


def check_video(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Say what is in use: GStreamer in a child process, which needs nothing of OpenCV, else PyAV."""
    gstreamer = find_gstreamer() if root == HERE else None
    has_av = "av" in python.packages
    second = f"; PyAV {python.packages['av']} is there too (--media pyav)" if has_av else ""
    if gstreamer is not None:
        encoders = {codec: gstreamer.first(*elements) for codec, elements in _ENCODERS.items()}
        named = ", ".join(f"{codec} by {element}" for codec, element in encoders.items() if element)
        absent = [codec for codec, element in encoders.items() if element is None]
        detail = f"GStreamer {gstreamer.version} in a child process; encodes {named or 'nothing'}{second}"
        remedy = "sudo apt install gstreamer1.0-plugins-ugly gstreamer1.0-libav" if absent else ""
        yield Check("video", "info" if absent else "ok", detail, remedy)
    elif has_av:
        detail = f"PyAV {python.packages['av']}: files, rtsp:// and USB cameras; csi://, display:// need GStreamer"
        yield Check("video", "info", detail, PACKAGES)
    else:
        detail = "neither GStreamer nor PyAV; pictures, Y4M, and raw video on standard input work without"
        yield Check("video", "info", detail, f"{PACKAGES}; or: {python.pip} install 'edgesr[video]'")
