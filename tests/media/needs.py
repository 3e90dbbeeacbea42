"""What the tests of video need beside edgesr, and why they are skipped without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgesr.media.av_io import has_av
from edgesr.media.gst import find_gstreamer

GSTREAMER = find_gstreamer()
needs_gstreamer = pytest.mark.skipif(GSTREAMER is None, reason="GStreamer with gdppay is not installed")
needs_av = pytest.mark.skipif(not has_av(), reason="PyAV is not installed")
needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg is not installed"
)


def needs_element(*names: str) -> pytest.MarkDecorator:
    """Skip a test where GStreamer lacks an element."""
    absent = [name for name in names if GSTREAMER is None or not GSTREAMER.has(name)]
    return pytest.mark.skipif(bool(absent), reason=f"GStreamer has no {', '.join(absent)}")


def probe(path: Path | str, entries: str) -> list[str]:
    """Return what ffprobe says about the video stream of a file, every frame decoded."""
    words = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", entries]
    return subprocess.run(
        [*words, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
