"""The GStreamer Data Protocol against what gdppay writes, and against garbage."""

from __future__ import annotations

import subprocess
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesr.errors import InputError
from edgesr.media.gdp import BUFFER, CAPS, HEADER_BYTES, frame_header, opening, packets, parse_caps, parse_header
from tests.media.needs import needs_gstreamer


@needs_gstreamer
def test_frames_of_gdppay_are_understood() -> None:
    camera = ["videotestsrc", "num-buffers=3", "!", "video/x-raw,format=RGB,width=7,height=3,framerate=25/1"]
    words = ["gst-launch-1.0", "-q", *camera, "!", "gdppay", "!", "fdsink"]
    stream = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    found = list(packets(stream))
    (caps,) = [parse_caps(payload) for packet, payload in found if packet.kind == CAPS]
    assert (caps.width, caps.height, caps.stride, caps.fps) == (7, 3, 24, Fraction(25))
    assert [(packet.pts, packet.length) for packet, _ in found if packet.kind == BUFFER] == [
        (0, 72), (40_000_000, 72), (80_000_000, 72),
    ]  # fmt: skip


def test_what_is_written_is_read() -> None:
    stream = (
        opening("video/x-raw, format=(string)RGB, width=(int)4, height=(int)2") + frame_header(24, 5, 9) + bytes(24)
    )
    found = list(packets(stream))
    assert parse_caps(next(payload for packet, payload in found if packet.kind == CAPS)).fps is None
    assert (found[-1][0].kind, found[-1][0].pts, found[-1][1]) == (BUFFER, 5, bytes(24))


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
def test_any_header_is_a_packet_or_an_error(data: bytes) -> None:
    try:
        packet = parse_header(data)
    except InputError as error:
        assert "garbage" in str(error)
    else:
        assert packet.length <= 1 << 30


@pytest.mark.parametrize("text", [b"", b"audio/x-raw, rate=(int)8000", b"video/x-raw, width=(int)4"])
def test_caps_that_are_no_raw_video_are_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="not raw video"):
        parse_caps(text)
