"""Write files so that a reader sees the old content or the new one, never a half."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edgesr.errors import ModelError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of ``path`` when the block ends without an error."""
    temporary = beside(path)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder that takes the place of ``path`` when the block ends without an error."""
    temporary, old = beside(path), beside(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def saying_why(path: Path) -> Iterator[None]:
    """Turn a failed write, e.g. on a full disk, into one line about ``path``."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be written: {error.strerror or error}; free space or choose another place"
        ) from None


def beside(path: Path) -> Path:
    """Return a fresh hidden name in the folder of ``path``."""
    return path.with_name(f".{path.name[:100]}.{os.urandom(6).hex()}.tmp")
