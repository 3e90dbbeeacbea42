"""Write model packages: hashes computed, everything validated first, nothing half-written."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from edgesr.errors import ModelError, UsageError
from edgesr.model.atomic import replacing, replacing_folder, saying_why
from edgesr.model.content import check_kind, data_files, file_sha256, sha256
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.names import check_names
from edgesr.model.protobuf import external_files
from edgesr.model.rules import DESCRIPTOR_FILE
from edgesr.model.schema import show
from edgesr.model.storage import MAX_FILES, read_chunks

ARCHIVE_SUFFIXES = (".edgesr", ".zip")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_package(path: str | Path, descriptor: ModelDescriptor, files: Mapping[str, Path | bytes]) -> Path:
    """Write a package archive (``.edgesr``, ``.zip``) or folder, replacing an older package of that name.

    ``files`` holds the content of every part and further file by its name in the package; hashes in ``descriptor``
    are computed anew. The same content gives the same bytes.
    """
    path = Path(path)
    complete = _complete(descriptor, files, str(path))
    contents: dict[str, Path | bytes] = {DESCRIPTOR_FILE: complete.to_json().encode("utf-8")}
    contents.update((name, files[name]) for name in sorted(files))
    with saying_why(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in ARCHIVE_SUFFIXES:
            write_archive(path, contents)
        else:
            _write_folder(path, contents)
    return path


def check_target(path: Path) -> None:
    """Raise UsageError for a path that ``write_package`` would refuse or could not write to, before long work."""
    if path.suffix in ARCHIVE_SUFFIXES:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; choose another name for the archive")
    elif path.exists() and not (path.is_dir() and ((path / DESCRIPTOR_FILE).is_file() or not any(path.iterdir()))):
        raise UsageError(f"{path}: exists and is not a model package; choose another name")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: cannot be written: {place} is no folder that you may write to")


def write_archive(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    """Write a zip archive with fixed order, dates and permissions."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; choose another name for the archive")
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            entry.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with archive.open(entry, "w") as target:
                _copy(content, target)


def copy_file(source: Path, target: Path) -> None:
    """Copy one file to a place that shows it only when it is complete."""
    with replacing(target) as stream:
        _copy(source, stream)


def _write_folder(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    check_target(path)
    with replacing_folder(path) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with replacing(folder / name) as target:
                _copy(content, target)


def _complete(descriptor: ModelDescriptor, files: Mapping[str, Path | bytes], source: str) -> ModelDescriptor:
    """Fill in the hashes and refuse what ``open_package`` and ``verify`` would refuse."""
    parts = descriptor.parts
    needed = {part.file for part in parts.values()} | set(descriptor.files) | set((descriptor.golden or {}).values())
    for name in sorted(needed - files.keys()):
        raise ModelError(f"{source}: no content given for {show(name)}, which the descriptor names")
    if len(files) >= MAX_FILES:
        raise ModelError(f"{source}: {len(files)} files are too many for a package; it holds less than {MAX_FILES}")
    check_names((DESCRIPTOR_FILE, *files), source)
    hashes = {name: _hash(name, content, source) for name, content in files.items()}
    named = {part.file for part in parts.values()}
    complete = replace(
        descriptor,
        parts={name: replace(part, sha256=hashes[part.file]) for name, part in parts.items()},
        files={name: hashes[name] for name in sorted(files.keys() - named)},
    )
    complete = ModelDescriptor.from_json(complete.to_json(), source=source)
    for file in named:
        data_files(file, external_files(files[file], f"{source}: {file}"), complete.files, source)
    return complete


def _hash(name: str, content: Path | bytes, source: str) -> str:
    if isinstance(content, bytes):
        check_kind(name, content, source)
        return sha256([content])
    check_kind(name, next(read_chunks(content), b""), source)
    return file_sha256(content)


def _copy(content: Path | bytes, target: IO[bytes]) -> None:
    for chunk in [content] if isinstance(content, bytes) else read_chunks(content):
        target.write(chunk)
