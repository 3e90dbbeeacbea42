"""RTSP from and to a real server on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.media.library import Through
from edgesr.media.open import open_sink, open_source
from tests.media.needs import needs_av, needs_element

PORT = 18_554
BOTH = [
    pytest.param("gstreamer", marks=needs_element("rtspsrc", "avdec_h264")),
    pytest.param("pyav", marks=needs_av),
]
SERVER = Path(__file__).with_name("rtsp_server.py")


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Start the server in a Python that has PyGObject, where there is one."""
    for python in ("/usr/bin/python3", sys.executable):
        if not Path(python).exists():
            continue
        child = subprocess.Popen(
            [python, str(SERVER), str(PORT)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None
        is_ready = child.stdout.readline().strip() == "ready"
        if is_ready:
            yield
        child.kill()
        child.communicate()
        if is_ready:
            return
    pytest.skip("no Python here has PyGObject with GstRtspServer")


@pytest.mark.parametrize("through", BOTH)
def test_a_stream_with_a_password_is_read_and_the_password_never_shown(server: None, through: Through) -> None:
    with open_source(f"rtsp://user:geheim@127.0.0.1:{PORT}/red", through=through, timeout=20) as source:
        frames = [source.read() for _ in range(3)]
    assert all(frame is not None and np.abs(frame.image.astype(int) - (255, 0, 0)).max() < 12 for frame in frames)
    times = [frame.time for frame in frames if frame is not None]
    assert times == sorted(set(times))
    assert "geheim" not in f"{source!r}{source.name}"
    assert source.is_live


@pytest.mark.parametrize("through", BOTH)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"rtsp://user:falsch@127.0.0.1:{PORT}/red", r"[Uu]nauthorized"),
        (f"rtsp://user:geheim@127.0.0.1:{PORT}/blue", r"[Nn]ot [Ff]ound|404"),
        ("rtsp://user:geheim@127.0.0.1:9/red", r"[Cc]onnect|refused|Could not open"),
    ],
)
def test_a_stream_that_cannot_be_had_is_one_line(server: None, through: Through, url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught, open_source(url, through=through, timeout=10) as source:
        source.read()
    assert "geheim" not in str(caught.value)
    assert "falsch" not in str(caught.value)
    assert "user:***@127.0.0.1" in str(caught.value)


@needs_element("rtspclientsink", "x264enc")
def test_a_stream_is_sent_to_a_server(server: None) -> None:
    with open_sink(f"rtsp://user:geheim@127.0.0.1:{PORT}/in", fps=10) as sink:
        for number in range(10):
            sink.write(np.zeros((48, 64, 3), np.uint8), number / 10)
    assert sink.written == 10


@needs_element("rtspclientsink", "x264enc")
def test_a_server_that_is_not_there_takes_no_stream() -> None:
    said = "edgesr sends to an RTSP server"
    with pytest.raises(InputError, match=said), open_sink("rtsp://127.0.0.1:9/in", fps=10) as sink:
        for number in range(1000):
            sink.write(np.zeros((48, 64, 3), np.uint8), number / 10)
