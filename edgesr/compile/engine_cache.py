"""Engines built once per machine and found again: a folder of ``KEY.engine`` with ``KEY.json`` beside it.

The key is the sha256 of everything that an engine depends on. The engine is written first and the sidecar with its
sha256 last, each in one step, so that a process killed at any moment leaves an entry that is whole or no entry.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from edgesr.compile.engine_record import Entry, key_of, read_record, untuned
from edgesr.compile.locking import locked
from edgesr.compile.recipe import BuiltPlan
from edgesr.engines.plan import read_plan_header
from edgesr.errors import BuildError, EdgesrError, StaleEngineError
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.content import file_sha256

_OURS = re.compile(r"[0-9a-f]{64}")
_TIMINGS = "timings"

Prove: TypeAlias = Callable[[Path], Mapping[str, Any]]
"""Loads an engine and checks it; returns what goes into its record, raises AccuracyError for one that is wrong."""


class EngineCache:
    """The engines of this user, in ``folder`` or in the user's cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "engines"

    def take(
        self,
        facts: Mapping[str, Any],
        build: Callable[[Path], BuiltPlan],
        *,
        model: str,
        note: Callable[[str], None] = lambda text: None,
        prove: Prove | None = None,
    ) -> Path:
        """Return the engine for ``facts``, building it where it is missing or damaged.

        ``build`` gets the file of timings that all builds on this machine share. Of several processes that want the
        same engine one builds it and the others wait. ``note`` is told what takes long and what was found damaged.
        ``prove`` sees every engine, found or new, before it is returned; a new one that it refuses is not kept, and one
        that does not load is built again.
        """
        key = key_of(facts)
        found, _ = self._look(key)
        if found is not None and not _refusal(found, prove):
            return found
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f"{key}.lock", waiting=lambda: note(f"waits for the build of {model}'s engine")):
                found, problem = self._look(key)
                if found is not None:
                    problem = _refusal(found, prove)
                    if not problem:
                        return found
                if problem:
                    note(f"the cached engine of {model} {problem} and is built again")
                return self._build(key, facts, build, model, prove)

    def like(self, facts: Mapping[str, Any]) -> Path | None:
        """Return the newest whole engine that computes the same for the same shapes, however it was tuned."""
        wanted = untuned(facts)
        for entry in reversed(self.entries()):
            if untuned(entry.facts) == wanted and self._look(entry.key)[0] is not None:
                return entry.path
        return None

    def last_seconds(self, onnx_digest: str) -> float | None:
        """Return how long the last build of a network took, for any shapes; None where none is remembered."""
        return next((e.seconds for e in reversed(self.entries()) if e.facts.get("onnx") == onnx_digest), None)

    def record(self, path: Path) -> dict[str, Any]:
        """Return the sidecar of an engine of this cache."""
        found = read_record(path.with_suffix(".json"))
        if found is None:
            raise BuildError(f"{path}: its record is damaged; empty the cache with `edgesr cache clear`")
        return found

    def forget(self, path: Path) -> None:
        """Delete one engine; it is built again when it is next wanted."""
        with self._writing(), locked(self.folder / f"{path.stem}.lock"):
            for file in self._files_of(path.stem):
                _delete(file)

    def entries(self) -> list[Entry]:
        """List the whole engines, oldest first; damaged ones are left out."""
        found = []
        for sidecar in self.folder.glob("*.json"):
            key = sidecar.stem
            record = read_record(sidecar)
            path = self.folder / f"{key}.engine"
            if _OURS.fullmatch(key) and record is not None and path.is_file():
                facts, seconds = record["facts"], record["build_seconds"]
                found.append(Entry(key, path, path.stat().st_size, record["created"], record["model"], facts, seconds))
        return sorted(found, key=lambda entry: (entry.created, entry.key))

    def clear(self) -> int:
        """Delete all engines, timings and leftovers, and return the bytes that this freed; running builds stay."""
        freed = 0
        if not self.folder.is_dir():
            return freed
        names = {path.name for path in self.folder.iterdir()}
        keys = {match[0] for name in names if (match := _OURS.search(name))}
        with self._writing():
            for key in sorted(keys):
                with locked(self.folder / f"{key}.lock", wait=False) as is_mine:
                    if is_mine:
                        freed += sum(_delete(path) for path in self._files_of(key))
        return freed

    def _look(self, key: str) -> tuple[Path | None, str]:
        """Return the engine if it is whole, else what is wrong with it, or an empty text where there is none."""
        path, sidecar = self.folder / f"{key}.engine", self.folder / f"{key}.json"
        if not sidecar.exists():
            return None, ""
        record = read_record(sidecar)
        if record is None:
            return None, "has a damaged record"
        try:
            if file_sha256(path) != record["sha256"]:
                return None, "is damaged"
            header = read_plan_header(path)
        except (OSError, EdgesrError) as error:
            return None, f"cannot be used ({error})"
        expected = tuple(int(part) for part in re.findall(r"\d+", str(record["facts"]["machine"]["tensorrt"])))
        if not header.is_from(expected):
            return None, f"is of TensorRT {header.version_text}"
        return path, ""

    def _build(
        self,
        key: str,
        facts: Mapping[str, Any],
        build: Callable[[Path], BuiltPlan],
        model: str,
        prove: Prove | None,
    ) -> Path:
        path, sidecar = self.folder / f"{key}.engine", self.folder / f"{key}.json"
        for leftover in self._files_of(key):
            _delete(leftover)
        start = time.time()
        # One file of timings per machine: TensorRT takes no others.
        built = build(self.folder / f"{key_of(facts['machine'])}.{_TIMINGS}")
        seconds = time.time() - start
        with replacing(path) as stream:
            stream.write(built.plan)
            stream.flush()
            proof = prove(Path(stream.name)) if prove is not None else {}
        record = {
            "sha256": hashlib.sha256(built.plan).hexdigest(),
            "model": model,
            "created": time.time(),
            "build_seconds": seconds,
            "limits": asdict(built.limits),
            "proof": dict(proof),
            "warnings": built.warnings,
            "notes": built.notes,
            "facts": facts,
        }
        with replacing(sidecar) as stream:
            stream.write(json.dumps(record, indent=1).encode())
        return path

    def _files_of(self, key: str) -> Iterator[Path]:
        """Yield the sidecar first, so that an entry goes before its engine does."""
        yield self.folder / f"{key}.json"
        yield self.folder / f"{key}.engine"
        yield self.folder / f"{key}.{_TIMINGS}"
        yield from self.folder.glob(f".{key}.*.tmp")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BuildError(
                f"{self.folder}: the engine cannot be kept: {error.strerror or error}; free space or set "
                "XDG_CACHE_HOME to another folder"
            ) from None


def _refusal(path: Path, prove: Prove | None) -> str:
    """Say why TensorRT does not load an engine that was found whole, e.g. after an update of the driver."""
    try:
        if prove is not None:
            prove(path)
    except StaleEngineError as error:
        return f"does not load ({error})"
    return ""


def _delete(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
