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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr.compile.locking import locked
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.device import find_jetson
from edgesr.engines.cuda import Device
from edgesr.engines.plan import read_plan_header
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BuildError, EdgesrError
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.content import file_sha256

FORMAT = 1
"""Raised when engines of older versions of edgesr must not be used any more."""
_OURS = re.compile(r"[0-9a-f]{64}")
_TIMINGS = "timings"


@dataclass(frozen=True)
class Entry:
    """One engine of the cache; ``facts`` is what its key was made of."""

    key: str
    path: Path
    size: int
    """Bytes."""
    created: float
    """Seconds since 1970."""
    model: str
    facts: Mapping[str, Any]


def machine_facts(api: TensorRt, device: Device) -> dict[str, Any]:
    """Return what ties an engine to this machine."""
    jetson = find_jetson()
    l4t = jetson.l4t if jetson else None
    return {
        "tensorrt": api.version_text,
        "cuda": ".".join(map(str, device.runtime.version)),
        "gpu": device.name,
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "sm_count": device.sm_count,
        "l4t": ".".join(map(str, l4t)) if l4t else "",
    }


def engine_facts(onnx_digest: str, machine: Mapping[str, Any], options: BuildOptions) -> dict[str, Any]:
    """Return everything that an engine depends on; ``onnx_digest`` covers external data too."""
    return {"format": FORMAT, "onnx": onnx_digest, "machine": dict(machine), "options": options.document()}


def key_of(facts: Mapping[str, Any]) -> str:
    """Hash facts, whatever their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class EngineCache:
    """The engines of this user, in ``folder`` or in the user's cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "engines"

    def take(
        self,
        facts: Mapping[str, Any],
        build: Callable[[bytes], BuiltPlan],
        *,
        model: str,
        note: Callable[[str], None] = lambda text: None,
    ) -> Path:
        """Return the engine for ``facts``, building it where it is missing or damaged.

        ``build`` gets the timings of earlier builds on this machine. Of several processes that want the same engine
        one builds it and the others wait. ``note`` is told what takes long and what was found damaged.
        """
        key = key_of(facts)
        found, _ = self._look(key)
        if found is not None:
            return found
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f"{key}.lock", waiting=lambda: note(f"waits for the build of {model}'s engine")):
                found, problem = self._look(key)
                if found is not None:
                    return found
                if problem:
                    note(f"the cached engine of {model} {problem} and is built again")
                return self._build(key, facts, build, model)

    def entries(self) -> list[Entry]:
        """List the whole engines, oldest first; damaged ones are left out."""
        found = []
        for sidecar in self.folder.glob("*.json"):
            key = sidecar.stem
            record = _read(sidecar)
            path = self.folder / f"{key}.engine"
            if _OURS.fullmatch(key) and record is not None and path.is_file():
                found.append(Entry(key, path, path.stat().st_size, record["created"], record["model"], record["facts"]))
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
        record = _read(sidecar)
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

    def _build(self, key: str, facts: Mapping[str, Any], build: Callable[[bytes], BuiltPlan], model: str) -> Path:
        path, sidecar = self.folder / f"{key}.engine", self.folder / f"{key}.json"
        for leftover in self._files_of(key):
            _delete(leftover)
        start = time.time()
        # One file of timings per machine: TensorRT takes no others.
        timings = self.folder / f"{key_of(facts['machine'])}.{_TIMINGS}"
        built = build(timings.read_bytes() if timings.is_file() else b"")
        with replacing(path) as stream:
            stream.write(built.plan)
        record = {
            "sha256": hashlib.sha256(built.plan).hexdigest(),
            "model": model,
            "created": time.time(),
            "build_seconds": time.time() - start,
            "warnings": built.warnings,
            "notes": built.notes,
            "facts": facts,
        }
        with replacing(sidecar) as stream:
            stream.write(json.dumps(record, indent=1).encode())
        if built.timing_cache:
            with replacing(timings) as stream:
                stream.write(built.timing_cache)
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


def _read(sidecar: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(sidecar.read_text("utf-8"))
        is_whole = (
            isinstance(record["sha256"], str)
            and isinstance(record["created"], float)
            and isinstance(record["model"], str)
            and "tensorrt" in record["facts"]["machine"]
            and key_of(record["facts"]) == sidecar.stem
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if is_whole else None


def _delete(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
