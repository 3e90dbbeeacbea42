"""Where the files of a package lie: a folder, a zip archive, or named files anywhere."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgesr.errors import ModelError
from edgesr.model.names import check_names
from edgesr.model.schema import show

MAX_FILES = 1024
MAX_BYTES = 4 << 30
_MAX_RATIO = 1000
_RATIO_FROM = 1 << 20
_CHUNK = 1 << 20


class Storage(Protocol):
    """Read access to the files of one package by their names."""

    def sizes(self) -> Mapping[str, int]:
        """List every file with its size in bytes, after checking that all of them are safe to read."""

    def path(self, file: str) -> Path | None:
        """Return where the file lies on disk, or None when it has to be extracted first."""

    def chunks(self, file: str) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB."""


@dataclass(frozen=True)
class FolderStorage:
    """The files below one folder."""

    root: Path

    def sizes(self) -> Mapping[str, int]:
        """List every file; links that leave the folder and special files are refused."""
        found: dict[str, int] = {}
        root = self.root.resolve()
        for folder, folders, files in os.walk(self.root, followlinks=False):
            for name in (*folders, *files):
                path = Path(folder, name)
                relative = path.relative_to(self.root).as_posix()
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise ModelError(
                        f"{self.root}: {show(relative)} links to a place outside the package; copy the file into it"
                    )
                if name in files:
                    if not path.is_file():
                        raise ModelError(f"{self.root}: {show(relative)} is not a readable file; remove it")
                    found[relative] = path.stat().st_size
                elif path.is_symlink():
                    raise ModelError(
                        f"{self.root}: {show(relative)} is a linked folder; copy the folder into the package"
                    )
            if len(found) > MAX_FILES:
                raise ModelError(f"{self.root}: holds more than {MAX_FILES} files; this is not a model package")
        check_names(found, str(self.root))
        return found

    def path(self, file: str) -> Path:
        """Return where the file lies; the caller may read it but must not change it."""
        check_names([file], str(self.root))
        path = self.root / file
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ModelError(f"{self.root}: {show(file)} links to a place outside the package; copy the file into it")
        return path

    def chunks(self, file: str) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB."""
        return read_chunks(self.path(file))


@dataclass(frozen=True)
class FileStorage:
    """Files anywhere on disk, each under the name that it has in the descriptor."""

    paths: Mapping[str, Path]

    def sizes(self) -> Mapping[str, int]:
        """List every file with its size in bytes."""
        return {name: path.stat().st_size for name, path in self.paths.items()}

    def path(self, file: str) -> Path:
        """Return where the file lies."""
        return self.paths[file]

    def chunks(self, file: str) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB."""
        return read_chunks(self.paths[file])


@dataclass(frozen=True)
class ZipStorage:
    """The entries of one zip archive; the archive is open only while it is read."""

    archive: Path

    def sizes(self) -> Mapping[str, int]:
        """List every entry; archives with unsafe names, links, passwords or absurd sizes are refused."""
        with self._open() as archive:
            return {entry.filename: entry.file_size for entry in self._entries(archive)}

    def path(self, file: str) -> None:
        """Return None: an entry has no place of its own on disk."""

    def chunks(self, file: str) -> Iterator[bytes]:
        """Yield the uncompressed content in pieces of at most 1 MiB, never more than the archive declares."""
        with self._open() as archive:
            entry = next((e for e in self._entries(archive) if e.filename == file), None)
            if entry is None:
                raise ModelError(f"{self.archive}: has no file {show(file)}; get the package again from its maker")
            with archive.open(entry) as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.archive) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            reason = " ".join(str(error).split())[:120] or "truncated"
            raise ModelError(f"{self.archive}: is damaged or not a package ({reason}); copy it here again") from None
        except FileNotFoundError:
            raise ModelError(f"{self.archive}: does not exist any more; copy it here again") from None
        except OSError as error:
            raise ModelError(f"{self.archive}: cannot be read: {error.strerror or error}") from None

    def _entries(self, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        source, entries = str(self.archive), archive.infolist()
        if len(entries) > MAX_FILES:
            raise ModelError(
                f"{source}: holds {len(entries)} entries, more than {MAX_FILES}; this is not a model package"
            )
        check_names((entry.orig_filename.rstrip("/") for entry in entries), source)
        files = [entry for entry in entries if not entry.is_dir()]
        names = [entry.filename for entry in entries]
        for entry in entries:
            name = show(entry.filename)
            if names.count(entry.filename) > 1:
                raise ModelError(f"{source}: {name} is stored twice; write the package again")
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ModelError(f"{source}: {name} is a link or a special file; store the file itself")
            if entry.flag_bits & 0x1:
                raise ModelError(f"{source}: {name} is encrypted; write the package without a password")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ModelError(f"{source}: {name} is compressed in an unusual way; write the package with deflate")
            if entry.file_size > max(_RATIO_FROM, entry.compress_size * _MAX_RATIO):
                raise ModelError(
                    f"{source}: {name} would grow to {entry.file_size} bytes from {entry.compress_size}; refused"
                )
        total = sum(entry.file_size for entry in files)
        if total > MAX_BYTES:
            raise ModelError(f"{source}: would grow to {total} bytes, more than {MAX_BYTES}; refused")
        return files


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most 1 MiB."""
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
