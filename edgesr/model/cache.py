"""Real files for the parts of an archive: extracted once per user, found again by their sha256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.atomic import replacing
from edgesr.model.content import check_sha256, file_sha256
from edgesr.model.storage import Storage


def cache_folder() -> Path:
    """Return this user's folder for what can be made again; it need not exist."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = configured if configured.is_absolute() else Path("~/.cache").expanduser()
    return base / "edgesr"


def parts_folder() -> Path:
    """Return the folder of extracted parts; it need not exist."""
    return cache_folder() / "parts"


def extracted(storage: Storage, files: Mapping[str, str], source: str) -> Path:
    """Return where the first of ``files`` (name to sha256) lies among the others, extracting what is not there.

    A damaged copy is replaced; a folder that cannot be written is replaced by a temporary one.
    """
    problem: OSError | RuntimeError | None = None
    for folder in (cache_folder, _temporary_folder):
        try:
            places = _places(folder() / "parts", files)
            for file, place in places.items():
                _ensure(storage, file, files[file], place, source)
            return next(iter(places.values()))
        except (OSError, RuntimeError) as error:
            problem = error
    reason = getattr(problem, "strerror", None) or problem
    raise ModelError(f"{source}: cannot be extracted: {reason}; free space or set XDG_CACHE_HOME to another folder")


def _places(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    first = next(iter(files))
    if len(files) == 1:
        return {first: folder / f"{files[first]}.onnx"}
    return {file: folder / combined_sha256(files) / file for file in files}


def combined_sha256(files: Mapping[str, str]) -> str:
    """Hash a set of files by name and sha256; one file alone keeps its own sha256."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256("".join(f"{file}\n{files[file]}\n" for file in sorted(files)).encode()).hexdigest()


def _ensure(storage: Storage, file: str, sha256: str, place: Path, source: str) -> None:
    if place.is_file() and os.access(place, os.R_OK) and file_sha256(place) == sha256:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with replacing(place) as stream:
        for chunk in storage.chunks(file):
            digest.update(chunk)
            stream.write(chunk)
        check_sha256(file, digest.hexdigest(), sha256, source)


@cache
def _temporary_folder() -> Path:
    """Make a folder that lives as long as the process."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="edgesr-parts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
