"""The record of a folder run, from which it resumes."""

from __future__ import annotations

import json
import os
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from edgesr.errors import InputError

if TYPE_CHECKING:
    from edgesr.cli.jobs import Job

NAME = "edgesr-manifest.jsonl"
_BESIDE = {"error_map": "uncertainty", "heat_map": "heat_map", "mask": "mask"}
"""Files beside a picture: attribute of the job and field of the manifest, to the field of the picture's record."""

_EXTRA = "extra_outputs"
"""Field of the record and of the manifest: paths by the name of the output."""


class Manifest:
    """``edgesr-manifest.jsonl`` in the output folder: one JSON line when a picture is begun, one when it is done.

    A picture counts as finished when its size and modification time, the model and the options are those of its last
    line and the outputs are still there. A line that a killed run left half-written is ignored.
    """

    def __init__(self, folder: Path, digest: str, options: dict[str, Any]) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._key = {"model_digest": digest, "options": options}
        self._records = {record["output"]: record for record in _read(self._path)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._path.open("a", encoding="utf-8")
            if self._path.stat().st_size and not self._path.read_bytes().endswith(b"\n"):
                self._file.write("\n")
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot keep the manifest here: {error.strerror}; choose another -o"
            ) from None

    def finished(self, job: Job) -> dict[str, Any] | None:
        """Return the record of a picture that need not be done again, else None."""
        record = self._records.get(self._name(job.target))
        if record is None or record.get("status") != "done":
            return None
        outputs = [job.target, *(getattr(job, name) for name in _BESIDE if record.get(name))]
        outputs += chain(*job.extra_paths.values())
        wanted = {**self._key, **_stamp(job.source)}
        if not all(path.is_file() for path in outputs) or any(
            record.get(name) != value for name, value in wanted.items()
        ):
            return None
        return {"input": str(job.source), "output": str(job.target), "status": "skipped"}

    def begin(self, job: Job) -> None:
        """Append what is about to be written, so that it is known as an output whatever happens."""
        self._append({"status": "begun", **self._names(job)})

    def add(self, job: Job, record: dict[str, Any]) -> None:
        """Append what became of a picture."""
        names = self._names(job)
        for name, key in _BESIDE.items():
            if key not in record:
                del names[name]
        self._append({**record, **names, **_stamp(job.source), **self._key})

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            if error is None:
                raise InputError(f"{self._path}: cannot write the manifest; free some space") from None

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._path}: cannot write the manifest: {error.strerror}; free some space") from None

    def _names(self, job: Job) -> dict[str, Any]:
        names: dict[str, Any] = {name: self._name(getattr(job, name)) for name in _BESIDE}
        if job.extra:
            names[_EXTRA] = {name: [self._name(path) for path in paths] for name, paths in job.extra_paths.items()}
        return {"output": self._name(job.target), **names}

    def _name(self, path: Path) -> str:
        """Return a path inside the folder as the manifest holds it, so that the folder can be moved."""
        return path.relative_to(self._folder).as_posix()


def outputs_of(folder: Path) -> set[str]:
    """Return the real paths of everything that was ever written to ``folder`` according to its manifest."""
    records = _read(folder / NAME)
    names = [record.get(key) for record in records for key in ("output", *_BESIDE)]
    for record in records:
        further = record.get(_EXTRA)
        names += chain(*further.values()) if isinstance(further, dict) else ()
    return {os.path.realpath(folder / name) for name in names if isinstance(name, str)}


def _stamp(source: Path) -> dict[str, Any]:
    try:
        status = source.stat()
    except (OSError, ValueError):
        return {"bytes": None, "modified_ns": None}
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _read(path: Path) -> list[dict[str, Any]]:
    """Return every line; what is not ours is ignored."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot read the manifest: {reason}; choose another -o") from None
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("output"), str):
            records.append(record)
    return records
