"""Make a package of an ONNX file and what its maker knows about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.errors import UsageError
from edgesr.model.content import file_sha256
from edgesr.model.describe import describe_onnx
from edgesr.model.descriptor import SCHEMA_VERSION, ModelDescriptor
from edgesr.model.label_packing import describe_labels
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.model.measure import OpenProbe
from edgesr.model.onnx_file import read_graph, with_weights_inside
from edgesr.model.package import ModelPackage, open_package, verify
from edgesr.model.rules import NETWORK
from edgesr.model.schema import show, violations
from edgesr.model.writer import write_package

_FILE = f"{NETWORK}.onnx"


def pack(
    onnx: str | Path,
    out: str | Path,
    *,
    name: str,
    version: str,
    overrides: Mapping[str, Any] | None = None,
    expects: Mapping[str, Any] | None = None,
    golden: Mapping[str, Path] | None = None,
    files: Mapping[str, Path | bytes] | None = None,
    probe: OpenProbe | None = None,
) -> ModelPackage:
    """Write a package of one ONNX file, verify it and open it.

    ``overrides`` holds fields of model.json; objects are merged with what is found in the ONNX file, everything else
    replaces it. ``expects`` holds ``range``, ``color``, ``layout`` and ``scale`` as ``describe_onnx`` takes them. For
    tasks that label pictures, sizes and roles are found by running the network with ``probe``, and what it cannot tell
    is taken as usual; for other tasks nothing is found and ``overrides`` has to say all. ``golden`` holds the reference
    files by role (``input``, ``output``), ``files`` further files by their names in the package. External weights are
    moved into the ONNX file.
    """
    onnx, out = Path(onnx), Path(out)
    asked = _asked(name, version, overrides or {}, expects or {})
    document, notes = _found(onnx, asked, probe)
    document = _merged(document, asked)
    pictures = {f"golden/{role}{path.suffix.lower()}": path for role, path in (golden or {}).items()}
    if golden:
        document["golden"] = dict(zip(golden, pictures, strict=True))
    contents: dict[str, Path | bytes] = {_FILE: with_weights_inside(onnx), **pictures, **(files or {})}
    document["files"] = dict.fromkeys(contents.keys() - {_FILE}, "0" * 64)
    descriptor = ModelDescriptor.from_json(document, source=str(out))
    package = open_package(write_package(out, descriptor, contents))
    verify(package)
    if probe is not None:
        probe(package.part_path(NETWORK))
    return replace(package, notes=notes)


def _asked(name: str, version: str, overrides: Mapping[str, Any], expects: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the maker says as plain JSON data that fits the schema."""
    said = {key: value for key, value in expects.items() if value is not None}
    top = {key: said.pop(key) for key in ("scale",) if key in said}
    try:
        plain = json.loads(json.dumps({"overrides": overrides, "expects": {**top, "input": said}}, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the descriptor fields are not plain JSON data: {error}") from None
    if not isinstance(plain["overrides"], dict):
        raise UsageError('the descriptor fields must be a JSON object, e.g. {"scale": 4}')
    fixed = {"schema": SCHEMA_VERSION, "name": name, "version": version}
    for field, value in fixed.items():
        if plain["overrides"].get(field, value) != value:
            raise UsageError(
                f"the descriptor fields do not fit: {field}: is {show(value)} here, got "
                f"{show(plain['overrides'][field])}; leave it out"
            )
    asked = {**plain["overrides"], **fixed}
    for step in (asked, _merged(asked, plain["expects"])):
        for problem in violations(_merged(_skeleton("0" * 64), step)):
            raise UsageError(f"the descriptor fields do not fit: {problem}")
        asked = step
    return asked


def _found(onnx: Path, asked: Mapping[str, Any], probe: OpenProbe | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the ONNX file tells, as a document, and how it was found."""
    task = asked.get("task", "restore")
    if task in LABEL_TASKS and probe is not None:
        found, told = describe_labels(onnx, task, asked.get("labels"), asked, probe)
        return _merged(_skeleton(file_sha256(onnx)), {**found, "task": task}), tuple(told)
    if task != "restore":
        read_graph(onnx)
        return _skeleton(file_sha256(onnx)), ()
    expects = asked.get("input", {})
    described = describe_onnx(
        onnx,
        range=tuple(expects["range"]) if "range" in expects else None,
        color=expects.get("color"),
        layout=expects.get("layout"),
        scale=asked.get("scale"),
        probe=probe,
    )
    document = json.loads(described.descriptor.to_json())
    document.pop("description", None)
    return document, described.notes


def _skeleton(sha256: str) -> dict[str, Any]:
    return {"task": "restore", "parts": {NETWORK: {"file": _FILE, "sha256": sha256}}}


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``document`` with ``changes``: objects are merged, everything else is replaced."""
    merged = dict(document)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
