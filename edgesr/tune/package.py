"""The winner of a search as a package's own setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgesr.model import ModelPackage, write_package
from edgesr.tune.search import Found
from edgesr.tune.trial import Trial


def write_tuned(path: Path, package: ModelPackage, found: Found, winner: Trial, *, name: str, told: str) -> Path:
    """Write ``NAME.edgesr`` or a folder, complete or not at all, with the winner as its defaults.

    ``told`` says what the pictures were; that and the scores beside the full schedule's go into ``quality``.
    """
    source = package.descriptor
    measured: list[Mapping[str, Any]] = [
        {"set": told, "setting": trial.candidate.told(), "evaluations": trial.candidate.evaluations, **_scores(trial)}
        for trial in (winner, found.reference)
    ]
    descriptor = replace(
        winner.candidate.descriptor(source), name=name, quality=(*source.quality, *measured), golden=None,
        files={},
    )  # fmt: skip
    golden = set((source.golden or {}).values())
    kept = [file for file in source.files if file not in golden]
    parts = [part.file for part in descriptor.parts.values()]
    files: dict[str, Path | bytes] = {file: package.read(file) for file in (*dict.fromkeys(parts), *kept)}
    return write_package(path, descriptor, files)


def _scores(trial: Trial) -> dict[str, float]:
    return {name: round(value, 5) for name, value in asdict(trial.mean()).items() if value is not None}
