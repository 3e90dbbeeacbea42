"""What a search has measured so far, so that one that was interrupted goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from edgesr.model.cache import cache_folder

_REVISION = 1
"""Raise when what is measured changes, so that no old figure is taken."""


class Journal:
    """A file of one JSON object a line in the user's cache; lines that were cut off are dropped.

    ``facts`` are what all figures depend on: package, pictures, device. A cache that cannot be written is done without.
    """

    def __init__(self, facts: object, *, restart: bool = False) -> None:
        name = hashlib.sha256(repr((_REVISION, facts)).encode()).hexdigest()
        self.path: Path = cache_folder() / "tune" / f"{name}.jsonl"
        self._known: dict[str, Any] = {}
        if not restart:
            self._known = dict(_entries(self.path))
        self._file: TextIO | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
            for key, value in self._known.items():
                self._write(key, value)
        except OSError:
            self._file = None

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._known)

    def get(self, key: str) -> Any:
        """Return what was added under this key, None where nothing was."""
        return self._known.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep a JSON value, on disk at once."""
        self._known[key] = value
        self._write(key, value)

    def _write(self, key: str, value: Any) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps([key, value]) + "\n")
            self._file.flush()
        except OSError:
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _entries(path: Path) -> list[tuple[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        try:
            key, value = json.loads(line)
        except ValueError:
            continue
        found.append((str(key), value))
    return found
