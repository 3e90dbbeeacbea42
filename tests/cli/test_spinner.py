"""The line that shows how a build goes on."""

from __future__ import annotations

import io
import sys

import pytest

from edgesr.cli import spinner as module
from edgesr.cli.spinner import Spinner


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_phase_time_and_the_last_build_in_one_line(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Spinner() as spinner:
        spinner.tick("starting TensorRT", 192.0)
        clock[0] += 65
        spinner.tick("measuring kernels", 192.0)
        spinner.note("a line")
        spinner.tick("measuring kernels", None)
    shown = sys.stderr.getvalue()
    assert "measuring kernels, 1 min 5 s (the last build took 3 min 12 s)" in shown
    assert "\r\x1b[Kedgesr: a line\n" in shown
    assert shown.endswith("\r\x1b[K")
    assert shown.count("\n") == 1


def test_elsewhere_a_line_comes_every_half_minute(capsys, clock):
    with Spinner() as spinner:
        for _ in range(130):
            spinner.tick("measuring kernels", None)
            clock[0] += 0.5
    assert capsys.readouterr().err.splitlines() == [
        "edgesr: measuring kernels, 30 s",
        "edgesr: measuring kernels, 1 min 0 s",
    ]


def test_json_and_a_closed_error_stream_get_nothing(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    Spinner(quiet=True).tick("measuring kernels", None)
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)
    spinner = Spinner()
    spinner.tick("measuring kernels", None)
    spinner.note("nobody listens")
    spinner.stop()
