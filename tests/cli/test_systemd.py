"""What systemd hears of a live picture, on a real socket of its protocol."""

import os
import socket
import subprocess
import sys

import pytest

from edgesr.cli.systemd import Notifier


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgesr-test-{tmp_path.name}-{id(request)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if name.startswith("@") else name)
        heard.settimeout(5)
        yield name, heard


def test_the_first_picture_is_ready_and_later_ones_feed_the_watchdog(listener):
    name, heard = listener
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": name}, clock)
    for step in (0, 0.1, 0.5, 0.6, 2.0):
        clock.now += step
        notifier.picture()
    notifier.stopping()
    messages = [heard.recv(100).decode() for _ in range(4)]
    assert messages == ["READY=1\nWATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/does/not/exist"}])
def test_without_a_listener_nothing_happens(environment):
    notifier = Notifier(environment)
    notifier.picture()
    notifier.stopping()


def test_a_run_over_video_says_that_it_lives(tmp_path):
    video = tmp_path / "in.y4m"
    frames = b"".join(b"FRAME\n" + bytes([40 * index]) * (8 * 8) for index in range(4))
    video.write_bytes(b"YUV4MPEG2 W8 H8 F25:1 Ip Cmono\n" + frames)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        command = [
            sys.executable,
            "-m",
            "edgesr",
            "run",
            str(video),
            "-m",
            "cxr-x4-fast",
            "-o",
            str(tmp_path / "o.y4m"),
        ]
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
        assert heard.recv(100).decode().startswith("READY=1")
