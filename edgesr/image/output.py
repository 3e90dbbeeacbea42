"""Write a file so that it appears complete or not at all."""

from __future__ import annotations

import atexit
import errno
import os
import secrets
import shutil
import stat
from pathlib import Path
from types import TracebackType

from edgesr.errors import InputError
from edgesr.image.source import shown

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or write to another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or write to another disk",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "part of the path is a file, not a folder; check the path",
    errno.ENAMETOOLONG: "the file name is too long for this file system; choose a shorter one",
    errno.EFBIG: "the file system cannot hold a file this large; write to another disk",
    errno.EISDIR: "is a folder; pass a file name",
    errno.ELOOP: "the path is a loop of links; check the path",
}


_pending: set[Path] = set()
"""Temporary files of this process: an interrupt may strike after one is made and before anybody holds it."""


@atexit.register
def _discard_pending() -> None:
    for path in _pending:
        if path.name.startswith(f".edgesr-{os.getpid()}-"):  # a fork leaves its parent's alone
            path.unlink(missing_ok=True)


class OutputFile:
    """Write to a hidden temporary file beside ``path``, which replaces ``path`` on a clean exit and vanishes otherwise.

    Use as a context manager; ``file`` is an open binary file, seekable. A link at ``path`` is followed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_target(path)
        self.is_committed = False
        self._name = shown(path)
        self._path = Path(os.path.realpath(path))
        self._temporary = self._path.with_name(f".edgesr-{os.getpid()}-{secrets.token_hex(8)}.part")
        _pending.add(self._temporary)
        try:
            descriptor = _create_locked(self._temporary)
        except OSError as error:
            _pending.discard(self._temporary)
            raise explain(self._name, error) from None
        self.file = os.fdopen(descriptor, "w+b")

    def synchronize(self) -> None:
        """Bring everything to the disk, so that hardly anything can fail any more when the file appears."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise explain(self._name, error) from None

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._commit()
            return
        self._discard()
        if isinstance(error, OSError):
            raise explain(self._name, error) from error

    def _commit(self) -> None:
        try:
            self.synchronize()
            if self._path.exists():
                shutil.copymode(self._path, self._temporary)
            self._temporary.replace(self._path)  # before the file is closed, which would end its lock
            self.is_committed = True
            _pending.discard(self._temporary)
            self.file.close()
        except OSError as error:
            self._discard()
            raise explain(self._name, error) from None
        except BaseException:  # an interrupt, most likely while the disk takes its time
            self._discard()
            raise

    def _discard(self) -> None:
        try:
            self.file.close()
        except OSError:  # a full disk reports the unwritten buffer once more
            pass
        self._temporary.unlink(missing_ok=True)
        _pending.discard(self._temporary)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that killed processes left in a folder; those of living ones are locked."""
    try:
        found = list(Path(folder).glob(".edgesr-*.part"))
    except OSError:
        return
    for path in found:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _lock(descriptor, wait=False):
                path.unlink(missing_ok=True)
        except OSError:  # the folder is write-protected: let the writing that follows say so
            pass
        finally:
            os.close(descriptor)


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a path that cannot be written: a folder, a device, a protected file, a missing or closed folder."""
    name = shown(path)
    if not os.fspath(path):
        raise InputError("the output path is empty; pass a file name")
    try:
        target = Path(os.path.realpath(path))
        folder = target.parent.stat()
        if not stat.S_ISDIR(folder.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        if target.exists():
            _check_existing(name, target)
        else:
            _probe_name(target)
    except OSError as error:
        raise explain(name, error) from None
    except ValueError:
        raise InputError(f"{name}: is not a possible path; check it for stray characters") from None
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{name}: the folder is not writable; choose a folder you may write to")


def explain(name: str, error: OSError) -> InputError:
    """Return the InputError that says what an operating system error on writing means and what to do."""
    while error.errno is None and isinstance(error.__context__, OSError):  # pydicom wraps it in a text of many lines
        error = error.__context__
    reason = _REASONS.get(error.errno or 0, f"cannot be written ({error.strerror or error}); check the disk")
    return InputError(f"{name}: {reason}")


def _create_locked(path: Path) -> int:
    """Create a file with a lock that ends with this process, however it ends."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file; tell whether that worked: another process may hold it, or the file system may have no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _check_existing(name: str, target: Path) -> None:
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name}: is a device, pipe or socket, which cannot be replaced; pass a file name")
    if not os.access(target, os.W_OK):
        raise InputError(f"{name}: the existing file is write-protected; choose another name or unprotect it")


def _probe_name(target: Path) -> None:
    try:
        os.lstat(target)
    except FileNotFoundError:
        pass
