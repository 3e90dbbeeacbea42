"""Model packages: a folder, or the same folder zipped as ``NAME.edgesr``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.cache import combined_sha256, extracted
from edgesr.model.content import check_kind, check_sha256, data_files, file_sha256, require_regular, sha256
from edgesr.model.descriptor import ModelDescriptor, Part
from edgesr.model.protobuf import external_files
from edgesr.model.rules import DESCRIPTOR_FILE
from edgesr.model.schema import show, suggest
from edgesr.model.storage import FileStorage, FolderStorage, Storage, ZipStorage
from edgesr.model.writer import write_package

__all__ = ["ModelPackage", "open_package", "verify", "write_package"]

MAX_DESCRIPTOR_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelPackage:
    """A descriptor with access to the files that it names."""

    descriptor: ModelDescriptor
    path: Path
    """The folder, the archive, or the bare ONNX file."""
    digest: str
    """sha256 of model.json, and so of everything that it declares; of the file and its weights for a bare ONNX file."""
    storage: Storage
    notes: tuple[str, ...] = ()
    """What was inferred about a bare ONNX file, one sentence each."""

    @property
    def is_bare(self) -> bool:
        """Tell whether this is a single ONNX file that somebody else made."""
        return isinstance(self.storage, FileStorage)

    def part_path(self, name: str) -> Path:
        """Return a verified ONNX file on disk, with its external data beside it; the caller must not change it."""
        part = self._part(name)
        path = self.storage.path(part.file)
        if path is None:
            path = extracted(self.storage, {part.file: part.sha256}, str(self.path))
            files = self._files_of(part, path)
            return path if len(files) == 1 else extracted(self.storage, files, str(self.path))
        check_sha256(part.file, file_sha256(path), part.sha256, str(self.path))
        for file, declared in self._files_of(part, path).items():
            beside = self.storage.path(file)
            check_sha256(file, file_sha256(beside or path), declared, str(self.path))
        return path

    def part_digest(self, name: str) -> str:
        """Return the sha256 that changes with the part or its external data; the part's own without such data."""
        part = self._part(name)
        return combined_sha256(self._files_of(part, self.part_path(name)))

    def read(self, file: str) -> bytes:
        """Return the verified content of a file that model.json declares."""
        declared = declared_files(self.descriptor)
        if file not in declared:
            raise ModelError(f"{self.path}: model.json declares no file {show(file)}{suggest(file, declared)}")
        content = b"".join(self.storage.chunks(file))
        check_sha256(file, sha256([content]), declared[file], str(self.path))
        return content

    def _part(self, name: str) -> Part:
        if name not in self.descriptor.parts:
            known = ", ".join(self.descriptor.parts)
            raise ModelError(f"{self.path}: has no part {show(name)}; its parts are {known}")
        return self.descriptor.parts[name]

    def _files_of(self, part: Part, path: Path) -> dict[str, str]:
        """Return name and sha256 of the ONNX file and of its external data."""
        if self.is_bare:
            return {part.file: part.sha256, **self.descriptor.files}
        locations = _locations(part.sha256, path, f"{self.path}: {part.file}")
        return {part.file: part.sha256, **data_files(part.file, locations, self.descriptor.files, str(self.path))}


def open_package(path: str | Path) -> ModelPackage:
    """Open a package folder or archive and check its model.json; parts are checked when they are used."""
    path = Path(path)
    storage = _storage(path)
    sizes = storage.sizes()
    if DESCRIPTOR_FILE not in sizes:
        raise _no_package(path, next((name for name in sizes if name.endswith("/" + DESCRIPTOR_FILE)), None))
    if sizes[DESCRIPTOR_FILE] > MAX_DESCRIPTOR_BYTES:
        raise ModelError(
            f"{path}: {DESCRIPTOR_FILE} has {sizes[DESCRIPTOR_FILE]} bytes, more than {MAX_DESCRIPTOR_BYTES}"
        )
    content = b"".join(storage.chunks(DESCRIPTOR_FILE))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: {DESCRIPTOR_FILE} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    descriptor = ModelDescriptor.from_json(text, source=f"{path}/{DESCRIPTOR_FILE}")
    for file in declared_files(descriptor):
        if file not in sizes:
            raise ModelError(f"{path}: model.json declares {show(file)}, which is missing; get the package again")
    return ModelPackage(descriptor, path, sha256([content]), storage)


def verify(package: ModelPackage) -> None:
    """Check every hash, every file kind and every reference, and that the package holds nothing else."""
    source, declared = str(package.path), declared_files(package.descriptor)
    for file in package.storage.sizes():
        if file not in declared and file != DESCRIPTOR_FILE:
            raise ModelError(f"{source}: {show(file)} is not declared in model.json; remove it or declare it in files")
    for file, expected in declared.items():
        chunks = package.storage.chunks(file)
        head = next(chunks, b"")
        if not package.is_bare:
            check_kind(file, head, source)
        check_sha256(file, sha256(chain([head], chunks)), expected, source)
    for name in package.descriptor.parts:
        package.part_digest(name)


def declared_files(descriptor: ModelDescriptor) -> dict[str, str]:
    """Return name and sha256 of every file that a descriptor declares."""
    return {**{part.file: part.sha256 for part in descriptor.parts.values()}, **descriptor.files}


@lru_cache(maxsize=64)
def _locations(sha256: str, path: Path, source: str) -> frozenset[str]:
    """Return the external data of a verified file; ``sha256`` is that of its content."""
    return external_files(path, source)


def _storage(path: Path) -> Storage:
    try:
        if path.is_dir():
            _require_descriptor(path)
            return FolderStorage(path)
        if not path.exists():
            raise ModelError(f"{path}: does not exist; give a package folder, a .edgesr file or a model name")
    except (OSError, ValueError) as error:
        raise ModelError(f"{show(str(path))}: is not a usable path: {error}") from None
    require_regular(path)
    if path.suffix == ".onnx":
        raise ModelError(f"{path}: is a bare ONNX file, not a package; make one of it with edgesr pack")
    return ZipStorage(path)


def _require_descriptor(folder: Path) -> None:
    """Refuse a folder that is no package before anything below it is looked at: it may be the whole disk."""
    if not os.path.lexists(folder / DESCRIPTOR_FILE):
        inside = [path.relative_to(folder).as_posix() for path in sorted(folder.glob(f"*/{DESCRIPTOR_FILE}"))]
        raise _no_package(folder, inside[0] if inside else None)


def _no_package(path: Path, inside: str | None) -> ModelError:
    hint = f"it lies in {show(inside)}, pack the folder's content instead" if inside else "this is no model package"
    return ModelError(f"{path}: has no {DESCRIPTOR_FILE}; {hint}")
