"""A model's files on their way to machines that may not have them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgesr.errors import BackendError, ModelError
from edgesr.model import find
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.content import file_sha256
from edgesr.model.protobuf import external_files


@dataclass(frozen=True)
class Parcel:
    """What a model is called, where it lies on the machine that was asked, and what its files hold."""

    given: str
    """Name or path that the user gave."""
    path: Path
    """Absolute path of the archive, folder or ONNX file."""
    hashes: Mapping[str, str]
    """sha256 of every file, by its path below the folder, or beside the file."""

    def arrive(self, contents: Mapping[str, bytes]) -> str:
        """Return what the model is called on this machine: the same where it is the same, else where it is now."""
        if self._is_at(self.path):
            return self.given if _found(self.given) == self.path else str(self.path)
        key = hashlib.sha256(repr((self.path.name, sorted(self.hashes.items()))).encode()).hexdigest()
        place = cache_folder() / "ray" / key / self.path.name
        try:
            for name in () if self._is_at(place) else self.hashes:
                path = self._root(place) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as stream:
                    stream.write(contents[name])
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BackendError(
                f"{place}: the model cannot be kept here: {reason}; free space or set XDG_CACHE_HOME"
            ) from None
        return str(place)

    def _root(self, path: Path) -> Path:
        """Return the folder that the files lie in when the model lies at ``path``."""
        return path.parent if self.path.name in self.hashes else path

    def _is_at(self, path: Path) -> bool:
        root = self._root(path)
        try:
            return all(file_sha256(root / name) == digest for name, digest in self.hashes.items())
        except (ModelError, OSError):
            return False


def make_parcel(model: str) -> tuple[Parcel, dict[str, bytes]]:
    """Return a model, given by name or path, and the bytes of its files."""
    path = find(model).absolute()
    if path.is_dir():
        root, files = path, sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    else:
        further = external_files(path, str(path)) if path.suffix.lower() == ".onnx" else ()
        root, files = path.parent, [path.name, *sorted(further)]
    if any(PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts for file in files):
        raise ModelError(f"{path}: names a file outside its folder; export it again with its data beside it")
    try:
        contents = {file: (root / file).read_bytes() for file in files}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; check the file") from None
    return Parcel(model, path, {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}), contents


def _found(model: str) -> Path | None:
    try:
        return find(model).absolute()
    except ModelError:
        return None
