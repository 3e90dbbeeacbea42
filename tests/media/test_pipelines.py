"""Pipeline strings, with NVIDIA's elements on a Jetson: as text, since no Jetson was at hand."""

from __future__ import annotations

import pytest

from edgesr.errors import BackendError, InputError, UsageError
from edgesr.media.frame import VideoFormat
from edgesr.media.gst import GStreamer, complaint
from edgesr.media.gst_sink import sink_pipeline
from edgesr.media.gst_source import explain_source, source_words
from edgesr.media.parse import parse_sink, parse_source

NVIDIA = {"nvarguscamerasrc", "nvvidconv", "nvv4l2decoder", "nvv4l2h264enc", "nvv4l2h265enc", "nv3dsink"}


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> GStreamer:
    """A GStreamer with every element."""
    monkeypatch.setattr(GStreamer, "has", lambda self, element: True)
    return GStreamer("gst-launch-1.0", "1.20.3")


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> GStreamer:
    """A GStreamer without NVIDIA's elements."""
    monkeypatch.setattr(GStreamer, "has", lambda self, element: element not in NVIDIA)
    return GStreamer("gst-launch-1.0", "1.22.0")


def source(text: str, gstreamer: GStreamer, *, is_jetson: bool) -> str:
    return " ".join(source_words(parse_source(text), gstreamer, is_jetson=is_jetson))


def sink(text: str, gstreamer: GStreamer, *, encoder: bool, codec: str | None = None) -> str:
    video = VideoFormat(64, 48)
    return " ".join(sink_pipeline(parse_sink(text), gstreamer, video, codec=codec, bitrate=None, encoder=encoder).words)


def test_a_csi_camera_goes_through_argus_into_host_memory(jetson: GStreamer) -> None:
    assert source("csi://1?width=1920&height=1080&fps=60&flip=2", jetson, is_jetson=True) == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    )


def test_csi_without_argus_names_the_alternative(desktop: GStreamer) -> None:
    with pytest.raises(BackendError, match=r"csi://0: needs a Jetson .*USB cameras are v4l2:///dev/video0"):
        source("csi://0", desktop, is_jetson=False)


@pytest.mark.parametrize("text", ["a.mp4", "rtsp://c/x", "/dev/video0?format=mjpeg", "rtp://@:5000"])
def test_what_a_hardware_decoder_leaves_on_the_gpu_is_brought_to_the_host(jetson: GStreamer, text: str) -> None:
    brought = " ! nvvidconv ! video/x-raw,format=BGRx"
    assert brought in source(text, jetson, is_jetson=True)
    assert "nv" not in source(text, jetson, is_jetson=False).replace("videoconvert", "").replace("dev/video0", "")


def test_a_usb_camera_is_asked_for_size_rate_and_format(desktop: GStreamer) -> None:
    assert source("/dev/video0?width=1280&height=720&fps=29.97&format=mjpeg", desktop, is_jetson=False) == (
        "v4l2src device=/dev/video0 ! image/jpeg,width=1280,height=720,framerate=30000/1001 ! decodebin"
    )
    with pytest.raises(UsageError, match="give both width= and height="):
        source("/dev/video0?width=1280", desktop, is_jetson=False)
    with pytest.raises(UsageError, match=r"format=mjpg must be one of .* \(did you mean mjpeg\?\)"):
        source("/dev/video0?format=mjpg", desktop, is_jetson=False)


def test_a_stream_takes_its_picture_and_not_its_sound(desktop: GStreamer) -> None:
    assert source("rtsp://u:p@c/x?a=b#transport=tcp&latency=0", desktop, is_jetson=False) == (
        "rtspsrc location=rtsp://u:p@c/x?a=b latency=0 protocols=tcp ! application/x-rtp,media=video ! decodebin"
    )


def test_boards_with_an_encoder_use_it_and_orin_nano_does_not(jetson: GStreamer) -> None:
    assert "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc bitrate=" in sink(
        "a.mp4", jetson, encoder=True
    )
    assert "nvv4l2h265enc" in sink("a.mkv", jetson, encoder=True, codec="h265")
    assert "insert-sps-pps=true" in sink("rtp://h:5000", jetson, encoder=True)
    assert "x264enc" in sink("a.mp4", jetson, encoder=False)


def test_streams_do_not_wait_and_repeat_their_headers(desktop: GStreamer) -> None:
    words = sink("rtp://10.0.0.2:5000", desktop, encoder=False)
    assert "tune=zerolatency" in words
    assert words.endswith("h264parse ! rtph264pay config-interval=1 ! udpsink host=10.0.0.2 port=5000 sync=false")


@pytest.mark.parametrize(
    ("text", "codec", "said"),
    [
        ("rtp://host", None, "must be rtp://HOST:PORT"),
        ("rtp://host:99999", None, "must be rtp://HOST:PORT"),
        ("rtp://host:5000", "ffv1", "FFV1 cannot be sent by RTP"),
        ("rtsp://:8554/x", None, "names no host; edgesr sends to an RTSP server"),
        ("a.mp4", "ffv2", "must be one of h264, h265, vp9, av1, mjpeg, ffv1"),
    ],
)
def test_what_cannot_be_sent_is_refused(desktop: GStreamer, text: str, codec: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sink(text, desktop, encoder=False, codec=codec)


def test_a_loopback_camera_wants_an_even_width(desktop: GStreamer) -> None:
    words = "video/x-raw,format=YUY2,colorimetry=bt601 ! v4l2sink device=/dev/video9 sync=false"
    assert words in sink("/dev/video9", desktop, encoder=False)
    with pytest.raises(InputError, match="YUY2 takes even sizes only, the frames are 63 x 47"):
        sink_pipeline(parse_sink("/dev/video9"), desktop, VideoFormat(63, 47), codec=None, bitrate=None, encoder=False)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Device '/dev/video0' is busy", "another program uses the camera, `fuser -v /dev/video0` says which"),
        ("Unauthorized", "check user and password"),
        ("Not Found", "check the path"),
        ("Could not negotiate format", "ask for another one"),
        ("Your GStreamer installation is missing a plug-in.", "gstreamer1.0-libav"),
    ],
)
def test_complaints_of_gstreamer_get_their_remedy(said: str, remedy: str) -> None:
    assert remedy in explain_source(parse_source("/dev/video0"), said)


def test_the_reason_is_found_in_what_gst_launch_prints_and_passwords_are_not() -> None:
    lines = [
        "Setting pipeline to PLAYING ...",
        "WARNING: from element /GstPipeline:p/GstX:x: something small",
        "ERROR: from element /GstPipeline:p/GstV4l2Src:v4l2src0: Device '/dev/video0' is busy",
        "Additional debug info:",
        "../sys/v4l2/gstv4l2object.c(4000): gst_v4l2_object_set_format_full (): /GstPipeline:p/GstV4l2Src:v4l2src0:",
        "Call to S_FMT failed for YUYV @ 1280x720: Device or resource busy",
        "ERROR: from element /GstPipeline:p/GstBaseSrc: Internal data stream error.",
    ]
    assert complaint(lines).startswith("Device '/dev/video0' is busy")
    assert "Internal" not in complaint(lines)
    assert complaint(['WARNING: erroneous pipeline: no element "foo"']) == 'no element "foo"'
    assert "geheim" not in complaint(["ERROR: from element /x: Could not open rtsp://u:geheim@c/x"])
    assert complaint([]) == ""
