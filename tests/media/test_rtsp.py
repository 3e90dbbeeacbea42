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
    child = _started(PORT)
    if child is None:
        pytest.skip("no Python here has PyGObject with GstRtspServer")
    yield
    child.kill()
    child.communicate()


def _started(port: int) -> subprocess.Popen[str] | None:
    """Return a server that listens; None where no Python here can run it."""
    for python in ("/usr/bin/python3", sys.executable):
        if not Path(python).exists():
            continue
        child = subprocess.Popen(
            [python, str(SERVER), str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None
        if child.stdout.readline().strip() == "ready":
            return child
        child.kill()
        child.communicate()
    return None


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
        ("rtsp://user:geheim@no-such-host.invalid/red", r"the host no-such-host.invalid is not known"),
    ],
)
def test_a_stream_that_cannot_be_had_is_one_line(server: None, through: Through, url: str, said: str) -> None:
    options = {"timeout": 10, "connect_timeout": 0 if ":9/" in url else None}
    with pytest.raises(InputError, match=said) as caught, open_source(url, through=through, **options) as source:
        source.read()
    assert "geheim" not in str(caught.value)
    assert "falsch" not in str(caught.value)
    assert "user:***@" in str(caught.value)


@pytest.mark.parametrize("through", BOTH)
def test_a_camera_that_starts_after_the_board_is_waited_for(through: Through) -> None:
    """The server begins to listen once it has been asked for in vain."""
    import threading

    port, missed, children = PORT + 1, threading.Event(), []

    def start() -> None:
        missed.wait(20)
        children.append(_started(port))

    said: list[str] = []
    thread = threading.Thread(target=start)
    thread.start()
    try:
        url = f"rtsp://user:geheim@127.0.0.1:{port}/red"
        tell = lambda text: (said.append(text), missed.set())  # noqa: E731
        with open_source(url, through=through, timeout=10, connect_timeout=60, note=tell) as source:
            try:
                frame = source.read()
            finally:
                missed.set()
                thread.join()
            if children == [None]:
                pytest.skip("no Python here has PyGObject with GstRtspServer")
        assert frame is not None
        assert "trying again in 0.5 s" in said[0]
        assert "geheim" not in " ".join(said)
        assert source.reconnects == 0
    finally:
        for child in children:
            if child is not None:
                child.kill()
                child.communicate()


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
