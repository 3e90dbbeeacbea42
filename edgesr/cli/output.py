"""What the command line says: results on standard output, everything else on standard error, one line each."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgesr.errors import BackendError


def result(text: str) -> None:
    """Write one result line; a file name that is no text is written as the bytes that it has on disk."""
    if sys.stdout is None:
        return
    try:
        try:
            sys.stdout.write(f"{text}\n")
        except UnicodeEncodeError:
            sys.stdout.flush()
            sys.stdout.buffer.write(os.fsencode(f"{text}\n"))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None


def result_json(document: Any) -> None:
    """Write the one JSON document of a command."""
    import json

    result(json.dumps(document, indent=2, default=str))


def flush() -> None:
    """Hand all results to the system, where a full disk or a closed pipe shows itself."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None


def discard() -> None:
    """Drop what standard output has not taken, so that the interpreter does not complain when it flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def note(text: str, *, prefix: str = "edgesr: ") -> None:
    """Write one line about the run to standard error, where nobody may be listening."""
    if sys.stderr is None:
        return
    try:
        print(f"{prefix}{one_line(text)}", file=sys.stderr)
    except OSError:
        return


@contextmanager
def silence(*, unless: bool = False) -> Iterator[None]:
    """Drop what C libraries such as libtiff write to the process's standard error about files that they dislike.

    Threads may be in it at once: the last one that leaves gives standard error back.
    """
    if unless:
        yield
        return
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


class _Silence:
    """Standard error of the process, while any number of threads want it silent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            try:
                self._kept = os.dup(2)
            except OSError:  # it is closed
                return
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 2)
            os.close(nothing)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._kept is None:
                return
            os.dup2(self._kept, 2)
            os.close(self._kept)
            self._kept = None


_SILENCE = _Silence()


def one_line(text: object) -> str:
    """Return ``text`` without line breaks, and with control characters spelled out so that no terminal obeys them."""
    joined = re.sub(r"\s*[\r\n]\s*", " ", str(text).strip())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in joined)


def _unwritable(error: OSError) -> BackendError:
    discard()
    return BackendError(f"standard output cannot be written: {error.strerror or error}; write it somewhere else")
