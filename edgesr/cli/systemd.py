"""Tell systemd that a live picture runs: the protocol of ``sd_notify(3)``, for units of type ``notify``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

SECONDS_BETWEEN = 1.0
"""A picture comes thirty times a second; systemd needs to hear of one now and then."""


class Notifier:
    """Says READY with the first picture and WATCHDOG with the later ones; does nothing outside such a unit.

    Nothing here fails a run: where the socket is gone, systemd's own watchdog decides.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # Names that begin with @ are Linux's abstract ones.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._clock = clock
        self._told: float | None = None

    def picture(self) -> None:
        """Say that a picture has come out; cheap, to be called for every one."""
        if not self._address:
            return
        now = self._clock()
        if self._told is None:
            self._send("READY=1\nWATCHDOG=1")
        elif now - self._told < SECONDS_BETWEEN:
            return
        else:
            self._send("WATCHDOG=1")
        self._told = now

    def stopping(self) -> None:
        """Say that the run ends on purpose."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                channel.send(message.encode())
        except OSError:
            pass
