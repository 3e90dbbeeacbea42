"""Which runtime was measured to be the faster one for a network, kept in this user's cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgesr.device import this_machine, usable_cores
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.content import file_sha256

_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino")
TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Choice:
    """What was measured for one network at one size of its inputs."""

    name: str
    """``onnxruntime`` or ``openvino``."""
    milliseconds: Mapping[str, float]
    """The fastest third of the runs of each, its mean; empty where one could not run or gave other numbers."""
    difference: float | None
    """Between the two, relative to the largest value."""
    reason: str | None
    """Why the faster one was not taken, or what makes that unsure; None where it was taken."""
    pairs: int = 0
    """Runs of each that were timed."""
    is_sure: bool = True
    """Whether the measurement agreed with itself, or with one before; else the choice holds for one process."""
    measured: str = ""
    """When, in UTC."""
    seconds: float = 0.0
    """What the measurement took."""

    def sentence(self, *, is_kept: bool = False) -> str:
        """Say what was chosen and why, and of a choice that is kept when that was."""
        times = " against ".join(
            f"{self.milliseconds[name]:.4g} ms of {title}" for name, title in TITLES.items() if self.milliseconds
        )
        cost = f"{self.pairs} pairs in {self.seconds:.1f} s" if self.pairs else ""
        after = f"measured {self.measured}" if is_kept else "" if self.is_sure else "measured again next time"
        why = "; ".join(part for part in (times, self.reason, cost, after) if part)
        return f"auto takes {TITLES[self.name]} ({why})"


class ChoiceStore:
    """Choices in files, one per network, versions of both runtimes, processor and number of threads."""

    def __init__(self, threads: int | None, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "choices"
        self._threads = min(threads or usable_cores(), usable_cores())

    def of(self, path: Path) -> KeptChoices:
        """Return the choices for an ONNX file."""
        machine = this_machine()
        facts = {
            "sha256": file_sha256(path) if path.is_file() else "",
            "versions": _versions(),
            "cpu": machine.cpu,
            "cores": machine.cores,
            "threads": self._threads,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
        return KeptChoices(self.folder / f"{key}.json", facts)

    def entries(self) -> list[KeptChoices]:
        """Return everything that is kept for networks here, also of other versions and processors."""
        found = [KeptChoices(path, _facts(path)) for path in sorted(self.folder.glob("*.json"))]
        return [kept for kept in found if kept.choices]

    def clear(self) -> int:
        """Forget all choices, and return the bytes that this freed."""
        freed = 0
        for path in self.folder.glob("*.json"):
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        return freed


class KeptChoices:
    """The choices for one network, by size bucket: the number of bits of the number of input elements."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._path = path
        self.facts = dict(facts)
        """What the choices hold for: ``sha256`` of the network, ``versions``, ``cpu``, ``cores``, ``threads``."""
        self.choices, self.pending = _read(path)

    def keep(self, bucket: int, choice: Choice) -> Choice:
        """Remember a choice, and return it; where the cache cannot be written, for this process only.

        One that is not sure is kept when the measurement before, which was not sure either, chose the same.
        """
        choice = replace(choice, measured=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))
        if not choice.is_sure and self.pending.get(bucket) == choice.name:
            choice = replace(choice, is_sure=True, reason=f"{choice.reason}; as in the measurement before")
        self.choices[bucket] = choice
        if choice.is_sure:
            self.pending.pop(bucket, None)
        else:
            self.pending[bucket] = choice.name
        self._write()
        return choice

    def want(self, bucket: int) -> None:
        """Remember that a choice is worth making at this size, for processes that end before they can."""
        self.pending.setdefault(bucket, "")
        self._write()

    def _write(self) -> None:
        others, wanted = _read(self._path)
        choices = {**others, **{key: choice for key, choice in self.choices.items() if choice.is_sure}}
        pending = {**wanted, **self.pending}
        document = {
            **self.facts,
            "choices": {str(key): asdict(it) for key, it in sorted(choices.items())},
            "pending": {str(key): name for key, name in sorted(pending.items()) if key not in choices},
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as stream:
                stream.write(json.dumps(document, indent=1).encode() + b"\n")
        except OSError:
            return


def _read(path: Path) -> tuple[dict[int, Choice], dict[int, str]]:
    """Return choices, and sizes that wait for one with what was not sure before; a damaged file says nothing."""
    try:
        document = json.loads(path.read_text("utf-8"))
        found = {int(key): Choice(**entry) for key, entry in document["choices"].items()}
        pending = {int(key): str(name) for key, name in document["pending"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, {}
    return {key: choice for key, choice in found.items() if choice.name in TITLES}, pending


def _facts(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in document.items() if k not in ("choices", "pending")} if isinstance(document, dict) else {}


def _versions() -> dict[str, str]:
    found = {}
    for name in _RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
