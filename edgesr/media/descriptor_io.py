"""Whole blocks of bytes out of and into pipes and files, with a limit to the waiting."""

from __future__ import annotations

import os
import select
from time import monotonic

from edgesr.errors import InputError
from edgesr.media.port import StallError


class ByteReader:
    """Reads from a file descriptor, which it owns if told so; ``name`` stands in messages."""

    def __init__(self, fd: int, name: str, *, owns: bool) -> None:
        self.name = name
        self._fd = fd
        self._owns = owns
        self._kept = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._is_closed = False

    def read(self, count: int, timeout: float) -> bytes:
        """Return ``count`` bytes, fewer at the end."""
        deadline = monotonic() + timeout
        while len(self._kept) < count and self._more(count - len(self._kept), deadline):
            pass
        return self._take(count)

    def read_line(self, limit: int, timeout: float) -> bytes:
        """Return what stands before the next line feed, at most ``limit`` bytes; what is left at the end."""
        deadline = monotonic() + timeout
        while b"\n" not in self._kept and len(self._kept) < limit and self._more(4096, deadline):
            pass
        end = self._kept.find(b"\n", 0, limit)
        line = self._take(limit if end < 0 else end + 1)
        return line.rstrip(b"\n")

    def peek(self, count: int, timeout: float) -> bytes:
        """Return the next bytes without taking them, fewer at the end."""
        deadline = monotonic() + timeout
        while len(self._kept) < count and self._more(count - len(self._kept), deadline):
            pass
        return bytes(self._kept[:count])

    def close(self) -> None:
        """Close the file if it is owned."""
        self._is_closed = True
        if self._owns:
            self._owns = False
            os.close(self._fd)

    def _more(self, count: int, deadline: float) -> bool:
        # In steps, so that a reader that was closed by another thread notices.
        while not self._is_closed:
            left = deadline - monotonic()
            if left <= 0:
                raise StallError(f"{self.name}: gives no data in time")
            if not self._poll.poll(min(left, 0.2) * 1e3):
                continue
            try:
                data = os.read(self._fd, max(count, 65536))
            except OSError as error:
                raise InputError(f"{self.name}: cannot be read ({error.strerror})") from None
            self._kept += data
            return bool(data)
        return False

    def _take(self, count: int) -> bytes:
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        return taken


def write_all(fd: int, data: bytes | memoryview, name: str) -> None:
    """Write everything; BrokenPipeError passes, any other failure is an InputError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"{name}: cannot be written ({error.strerror}); what was written so far is kept") from None
