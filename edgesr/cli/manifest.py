"""The record of a folder run, from which it resumes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from edgesr.cli.jobs import Job
from edgesr.errors import InputError

NAME = "edgesr-manifest.jsonl"


class Manifest:
    """``edgesr-manifest.jsonl`` in the output folder: one JSON line for each picture, appended as soon as it is done.

    A picture counts as finished when its size and modification time, the model and the options are those of its last
    line and the output is still there. A line that a killed run left half-written is ignored.
    """

    def __init__(self, folder: Path, digest: str, options: dict[str, Any]) -> None:
        self._path = folder / NAME
        self._key = {"model_digest": digest, "options": options}
        self._records = _read(self._path)
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
        record = self._records.get(str(job.target))
        if record is None or record.get("status") != "done" or not job.target.is_file():
            return None
        same = all(record.get(name) == value for name, value in {**self._key, **_stamp(job)}.items())
        return {"input": str(job.source), "output": str(job.target), "status": "skipped"} if same else None

    def add(self, job: Job, record: dict[str, Any]) -> None:
        """Append what became of a picture."""
        line = {**record, "output": str(job.target), **_stamp(job), **self._key}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._path}: cannot write the manifest: {error.strerror}; free some space") from None

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


def _stamp(job: Job) -> dict[str, Any]:
    try:
        status = job.source.stat()
    except OSError:
        return {"bytes": None, "modified_ns": None}
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    records = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot read the manifest: {error.strerror}; choose another -o") from None
    for line in lines:
        try:
            record = json.loads(line)
            records[record["output"]] = record
        except (ValueError, KeyError, TypeError):
            continue
    return records
