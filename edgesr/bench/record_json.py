"""Benchmark documents as JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

from edgesr.bench.record import SCHEMA, STAGES, Document, Reading, Row, Stage, Status, Throughput
from edgesr.errors import UsageError
from edgesr.model.atomic import replacing, saying_why

_KIND = "edgesr-bench"
_READINGS = ("memory", "power", "temperatures")


def to_json(document: Document) -> dict[str, Any]:
    """Return plain JSON data; what is infinite or no number becomes ``null``."""
    data = {"kind": _KIND, "schema": document.schema, **_plain(asdict(replace(document, rows=())))}
    return {**data, "rows": [row_to_json(row) for row in document.rows]}


def row_to_json(row: Row) -> dict[str, Any]:
    """Return one row as plain JSON data, with the summary of every stage beside its samples."""
    data: dict[str, Any] = _plain(asdict(row))
    for name, stage in row.stages.items():
        if stage.samples:
            data["stages"][name]["summary"] = _plain(asdict(stage.summary))
    return data


def from_json(data: Any) -> Document:
    """Return the document that ``to_json`` wrote; raise UsageError naming what is wrong."""
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        raise UsageError(f'this is no result of `edgesr bench --json`: it has no "kind": "{_KIND}"')
    if data.get("schema") != SCHEMA:
        raise UsageError(
            f"the result has schema {data.get('schema')!r}, this edgesr reads {SCHEMA}; measure again with this version"
        )
    try:
        return Document(
            created=str(data["created"]),
            edgesr=str(data["edgesr"]),
            machine=_readings(data["machine"]),
            settings=dict(data["settings"]),
            rows=tuple(row_from_json(row) for row in data["rows"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"the result of `edgesr bench` is damaged: {told}; measure again") from None


def row_from_json(data: Mapping[str, Any]) -> Row:
    """Return one row."""
    needed = {part.name for part in fields(Row) if part.default is MISSING and part.default_factory is MISSING}
    absent = needed - set(data)
    if absent:
        raise KeyError(min(absent))
    values = {part.name: data[part.name] for part in fields(Row) if part.name in data}
    if values.get("status", "valid") not in get_args(Status):
        raise ValueError(f"status {values['status']!r} is none of {', '.join(get_args(Status))}")
    stages = values.get("stages", {})
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise ValueError(f"stage {min(unknown)!r} is none of {', '.join(STAGES)}")
    values["stages"] = {name: Stage(tuple(float(ms) for ms in stage["samples"])) for name, stage in stages.items()}
    values["throughput"] = tuple(Throughput(**one) for one in values.get("throughput", ()))
    for name in _READINGS:
        values[name] = _readings(values.get(name, {}))
    for name in ("input_size", "output_size", "reasons", "notes", "layers"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    return Row(**values)


def read_document(path: Path) -> Document:
    """Read a file; raise UsageError where it is missing, no JSON or no benchmark."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON file: {error}") from None
    try:
        return from_json(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def write_document(document: Document, path: Path) -> None:
    """Write a file, whole or not at all."""
    text = json.dumps(to_json(document), indent=1, allow_nan=False)
    with saying_why(path), replacing(path) as stream:
        stream.write(f"{text}\n".encode())


def _readings(data: Mapping[str, Any]) -> dict[str, Reading]:
    return {name: Reading(**reading) for name, reading in data.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
