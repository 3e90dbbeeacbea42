"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr.errors import BuildError


@contextmanager
def locked(path: Path, *, wait: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock file; yields whether it is held, which is False only without ``wait``.

    ``waiting`` is called once when another holds it. The file is deleted at the end, so that none are left over.
    """
    try:
        import fcntl
    except ImportError:
        raise BuildError(f"{path.parent}: this system has no file locks; TensorRT engines are built on Linux") from None
    said = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield False
                    return
                if waiting is not None and not said:
                    waiting()
                    said = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(path, descriptor):
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Tell whether the file that is locked is the one that others would lock, and not deleted by its last holder."""
    try:
        mine, there = os.fstat(descriptor), path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
