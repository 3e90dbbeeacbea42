"""Every codec beside H.264 and FFV1, written by GStreamer and by PyAV, judged by ffprobe and by what is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.media.library import Through
from edgesr.media.open import open_sink, open_source
from edgesr.types import Array
from tests.media.needs import needs_av, needs_element, needs_ffmpeg, probe

ELEMENTS = {"h265": "x265enc", "vp9": "vp9enc", "av1": "av1enc", "mjpeg": "jpegenc"}
NAMES = {"h265": "hevc"}
FILES = [("h265", "a.mp4"), ("vp9", "a.webm"), ("av1", "a.mkv"), ("mjpeg", "a.mov")]
FRAMES = 4


def both(codec: str, name: str) -> list[object]:
    """Return a case for each library that has the encoder."""
    element = needs_element(ELEMENTS[codec])
    return [
        pytest.param(codec, name, "gstreamer", marks=element, id=f"{codec}-gstreamer"),
        pytest.param(codec, name, "pyav", marks=needs_av, id=f"{codec}-pyav"),
    ]


def ramp(h: int, w: int) -> Array:
    """A picture whose brightness rises from left to right."""
    return np.broadcast_to(np.linspace(30, 220, w).astype(np.uint8)[None, :, None], (h, w, 3)).copy()


@needs_ffmpeg
@pytest.mark.parametrize(("codec", "name", "through"), [case for pair in FILES for case in both(*pair)])
def test_a_file_of_every_codec_plays_with_each_of_its_frames(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], codec: str, name: str, through: Through
) -> None:
    h, w = (47, 63) if codec == "mjpeg" else (48, 64)
    with open_sink(tmp_path / name, fps=10, codec=codec, through=through) as sink:
        for number in range(FRAMES):
            sink.write(ramp(h, w), number / 10)
    assert sink.is_lossy
    found = probe(tmp_path / name, "stream=codec_name,width,height,nb_read_frames")
    assert found == [f"{NAMES.get(codec, codec)},{w},{h},{FRAMES}"]
    with open_source(tmp_path / name, through=through) as source:
        frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(FRAMES)], abs=2e-3)
    for frame in frames:
        assert np.abs(frame.image.astype(int) - ramp(h, w)).mean() < 6
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("codec", "name", "through"), [case for pair in FILES if pair[0] != "mjpeg" for case in both(*pair)]
)
def test_an_odd_size_is_refused_with_what_takes_it(tmp_path: Path, codec: str, name: str, through: Through) -> None:
    said = r"takes even sizes only, the frames are 63 x 48; .*--codec ffv1"
    with pytest.raises(InputError, match=said), open_sink(tmp_path / name, codec=codec, through=through) as sink:
        sink.write(ramp(48, 63))
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("codec", "name", "through"),
    [
        *both("h265", "a.mkv"),
        *both("av1", "a.mp4"),
        pytest.param("vp9", "a.webm", "gstreamer", marks=needs_element("vp9enc")),
        pytest.param("mjpeg", "a.mov", "gstreamer", marks=needs_element("jpegenc")),
    ],
)
def test_frames_that_are_too_small_are_refused_at_once(tmp_path: Path, codec: str, name: str, through: Through) -> None:
    said = "takes frames from 16 pixels a side, these are 64 x 10; write pictures"
    with pytest.raises(InputError, match=said), open_sink(tmp_path / name, codec=codec, through=through) as sink:
        sink.write(ramp(10, 64))
    assert not (tmp_path / name).exists()
