"""Pipelines with elements of a Jetson are taken by real GStreamer, stand-ins in their place; nothing is played."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgesr.media.frame import VideoFormat
from edgesr.media.gst import GStreamer
from edgesr.media.gst_sink import sink_pipeline
from edgesr.media.gst_source import source_words
from edgesr.media.parse import parse_sink, parse_source
from tests.media.needs import needs_element

SCRIPT = Path(__file__).with_name("nvidia_elements.py")
SOURCES = [
    "csi://0",
    "csi://1?width=1920&height=1080&fps=60&flip=2",
    "/dev/video0",
    "/dev/video1?width=1280&height=720&fps=29.97&format=mjpeg",
    "/dev/video0?format=uyvy&width=640&height=480",
    "rtsp://user:word@127.0.0.1:8554/x?a=b#transport=tcp&latency=0",
    "rtp://@:5000#codec=h265",
    "clip.mp4",
]
SINKS = [
    ("a.mp4", "h264"),
    ("a.mkv", "h265"),
    ("a.mp4", "av1"),
    ("a.mov", "h264"),
    ("rtp://127.0.0.1:5000", "h264"),
    ("rtp://127.0.0.1:5000", "h265"),
    ("rtsp://127.0.0.1:8554/x", "h264"),
    ("/dev/video9", None),
    ("display://0", None),
]
BEFORE = ["fdsrc", "fd=0", "!", "gdpdepay", "!"]
AFTER = ["!", "videoconvert", "!", "video/x-raw,format=RGB", "!", "gdppay", "!", "fdsink", "fd=1"]


def parsed(pipelines: list[list[str]]) -> list[str]:
    """Let a Python with PyGObject parse the pipelines."""
    text = json.dumps(pipelines)
    for python in ("/usr/bin/python3", sys.executable):
        probe = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"
        if not Path(python).exists():
            continue
        if subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0:
            done = subprocess.run(
                [python, str(SCRIPT)],
                input=text,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            found: list[str] = json.loads(done.stdout)
            return found
    pytest.skip("no Python here has PyGObject with GStreamer")


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> GStreamer:
    """A GStreamer that claims every element."""
    monkeypatch.setattr(GStreamer, "has", lambda self, element: True)
    monkeypatch.setenv("DISPLAY", ":0")
    return GStreamer("gst-launch-1.0", "1.20.3")


@needs_element("gdppay", "rtph264pay", "rtspclientsink", "mp4mux", "v4l2src", "av1parse", "rtspsrc")
def test_gstreamer_takes_every_pipeline_of_a_jetson_and_no_word_that_is_wrong(jetson: GStreamer) -> None:
    pipelines = [[*source_words(parse_source(text), jetson, is_jetson=True), *AFTER] for text in SOURCES]
    video = VideoFormat(64, 48)
    for text, codec in SINKS:
        found = sink_pipeline(parse_sink(text), jetson, video, codec=codec, bitrate=None, encoder=True)
        pipelines.append([*BEFORE, *found.words])
    named = " ".join(word for words in pipelines for word in words)
    for element in ("nvarguscamerasrc", "nvvidconv", "nvv4l2h264enc", "nvv4l2h265enc", "nvv4l2av1enc", "nv3dsink"):
        assert element in named
    wrong = [
        ["nvarguscamerasrc", "sensorid=0", *AFTER],
        ["nvarguscamerasrc", "!", "video/x-raw,format=NV12", *AFTER],
        ["videotestsrc", "!", "video/x-raw,format=I420", "!", "nvv4l2h264enc", "!", "fakesink"],
    ]
    answers = parsed([*pipelines, *wrong])
    problems = {" ".join(words): said for words, said in zip(pipelines, answers, strict=False) if said}
    assert problems == {}
    assert all(answers[len(pipelines) :])
