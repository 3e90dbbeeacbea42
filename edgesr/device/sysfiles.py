"""Small files that the kernel makes up: read as text or number, with the reason where that fails."""

from __future__ import annotations

import errno
from pathlib import Path

_MAX_TEXT = 1 << 16


class UnreadableError(Exception):
    """A value that is not there or not ours to read; the text says why."""


def read_text(path: Path) -> str:
    """Return the content without surrounding space; raise UnreadableError with the reason."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_TEXT)
    except (OSError, ValueError) as error:
        raise UnreadableError(_why(path, error)) from None
    return content.decode("utf-8", "replace").replace("\0", " ").strip()


def read_number(path: Path) -> float:
    """Return the number in a file; raise UnreadableError with the reason."""
    text = read_text(path)
    try:
        return float(text)
    except ValueError:
        raise UnreadableError(f"{path} holds {text[:40]!r}, no number") from None


def _why(path: Path, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM):
        return f"no permission to read {path}"
    if number == errno.ENOENT:
        return f"there is no {path}"
    return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
