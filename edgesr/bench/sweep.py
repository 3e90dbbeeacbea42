"""Sweeps: which settings of which models are measured, from one TOML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr.bench.spec import Spec, cross
from edgesr.errors import UsageError
from edgesr.model.schema import suggest

PRODUCTS = ("models", "precision", "steps", "tile")
"""Keys whose lists are tried in every combination."""
COMMON = ("device", "threads", "controls")
OPTIONS = (
    "images",
    "lr",
    "hr",
    "downscale",
    "limit",
    "lpips",
    "labels",
    "label-column",
    "masks",
    "mask-values",
    "classes",
    "annotations",
    "calib",
    "duration",
    "count",
    "warmup",
    "max-cv",
    "streams",
    "power-mode",
    "budget",
    "min-psnr",
    "min-accuracy",
    "output",
    "markdown",
    "html",
)
"""Options of ``edgesr bench`` that the file may set, at its top."""
_PATHS = ("images", "lr", "hr", "lpips", "labels", "masks", "annotations", "calib", "output", "markdown", "html")
_TABLES = "sweep"
_LARGEST = 10_000


@dataclass(frozen=True)
class Sweep:
    """What one file asks for."""

    specs: tuple[Spec, ...]
    options: Mapping[str, str]
    """Options of ``edgesr bench`` by long name, as words of a command line; paths stand as seen from here."""


def read_sweep(path: Path) -> Sweep:
    """Read a file; raise UsageError that names the file and what is wrong in it.

    At its top stand options, and ``models``, ``precision``, ``steps``, ``tile`` (one value or a list), ``device``,
    ``threads`` and ``controls``; every ``[[sweep]]`` table is a product of its own and takes from the top what it does
    not say. Paths are relative to the file.
    """
    data = _parse(path)
    tables = data.pop(_TABLES, [{}])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: sweep must be tables, each begun by a line [[sweep]]")
    known = (*PRODUCTS, *COMMON)
    top = {key: value for key, value in data.items() if key in known}
    options = {key: value for key, value in data.items() if key not in known}
    for key in options:
        _check_key(path, key, (*known, *OPTIONS))
    specs: list[Spec] = []
    for number, table in enumerate(tables, 1):
        place = f"{path}: sweep {number}" if _TABLES in _parse(path) else str(path)
        for key in table:
            _check_key(Path(place), key, known)
        specs += _specs(place, path.parent, {**top, **table})
        if len(specs) > _LARGEST:
            raise UsageError(f"{path}: asks for more than {_LARGEST} rows; leave some out")
    asked: set[str] = set()
    for spec in specs:
        if str(spec.asked) in asked:
            raise UsageError(f"{path}: asks for {spec.title} twice; leave one out")
        asked.add(str(spec.asked))
    return Sweep(tuple(specs), {key: _word(path, key, value) for key, value in options.items()})


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML file: {' '.join(str(error).split())}") from None
    return document


def _check_key(place: Path, key: str, known: Sequence[str]) -> None:
    if key not in known:
        raise UsageError(f"{place}: there is no setting {key!r} here; use {', '.join(known)}{suggest(key, known)}")


def _specs(place: str, folder: Path, table: Mapping[str, Any]) -> list[Spec]:
    models = _list(place, "models", table.get("models", []), str)
    if not models:
        raise UsageError(f'{place}: names no models; write models = ["cxr-x4", "mine.edgesr"]')
    controls = table.get("controls", {})
    if not isinstance(controls, dict):
        raise UsageError(f"{place}: controls must be a table of names and values, got {controls!r}")
    device, threads = table.get("device", "auto"), table.get("threads")
    if not isinstance(device, str):
        raise UsageError(f"{place}: device must be a text, got {device!r}")
    if threads is not None:
        (threads,) = _list(place, "threads", [threads], int)
    try:
        return cross(
            tuple(_found(folder, model) for model in models),
            tuple(_list(place, "precision", table.get("precision", []), str)) or (None,),
            tuple(_list(place, "steps", table.get("steps", []), int)) or (None,),
            tuple(_list(place, "tile", table.get("tile", []), int)) or (None,),
            device=device,
            threads=threads,
            controls=controls,
        )
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def _list(place: str, key: str, value: Any, kind: type) -> list[Any]:
    """Return one value or a list of them; numbers are whole and at least 1."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        is_whole = isinstance(one, int) and not isinstance(one, bool) and one >= 1
        if not (is_whole if kind is int else isinstance(one, str) and one):
            what = "a whole number from 1" if kind is int else "a text"
            raise UsageError(f"{place}: {key} must be {what} or a list of them, got {one!r}")
    return values


def _found(folder: Path, model: str) -> str:
    """Return a model's file as seen from here, where there is one beside the sweep."""
    beside = folder / model
    return str(beside) if beside.exists() else model


def _word(path: Path, key: str, value: Any) -> str:
    if isinstance(value, list):
        value = ",".join(str(one) for one in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise UsageError(f"{path}: {key} must be a text or a number, got {value!r}")
    return str(path.parent / str(value)) if key in _PATHS else str(value)
