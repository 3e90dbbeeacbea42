"""``edgesr inspect``: what is in a model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesr.cli.output import note, result, result_json
from edgesr.cli.run import expectations
from edgesr.compile.inspection import describe_engine, is_engine
from edgesr.errors import InputError, UsageError
from edgesr.image.provenance import read_provenance
from edgesr.model import inspect_onnx
from edgesr.pipelines.load import open_model
from edgesr.pipelines.sources import SUFFIXES


def execute(arguments: argparse.Namespace) -> int:
    """Print the descriptor and what the ONNX parts hold, or what is in an engine."""
    path = Path(arguments.model)
    if is_engine(path):
        return _engine(path, arguments)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return _picture(path, arguments)
    package = open_model(arguments.model, expects=expectations(arguments))
    descriptor = json.loads(package.descriptor.to_json())
    parts = {name: inspect_onnx(package.part_path(name)) for name in package.descriptor.parts}
    document = {**descriptor, "digest": package.digest, "notes": list(package.notes), "onnx": parts}
    if arguments.json:
        result_json(document)
        return 0
    for line in _lines(document):
        result(line)
    return 0


def _picture(path: Path, arguments: argparse.Namespace) -> int:
    """Print which model made a picture, and how."""
    if expectations(arguments):
        raise UsageError(f"{path.name} is a picture; what a bare .onnx file leaves open cannot be set for it")
    found = read_provenance(path)
    if found is None:
        raise InputError(f"{path}: does not say that edgesr made it; WebP and BMP cannot")
    if arguments.json:
        result_json(found)
        return 0
    for line in _lines(found):
        result(line)
    return 0


def _engine(path: Path, arguments: argparse.Namespace) -> int:
    if expectations(arguments):
        raise UsageError(f"{path.name} is a TensorRT engine; what a bare .onnx file leaves open cannot be set for it")
    document = describe_engine(path)
    if arguments.json:
        result_json(document)
        return 0
    layers, notes = document.pop("layers", []), document.pop("notes")
    for line in _lines({**document, "layer_count": len(layers) or None}):
        result(line)
    for layer in layers:
        types = f"{'+'.join(layer.get('inputs', ()))} -> {'+'.join(layer.get('outputs', ()))}"
        result(f"  {layer['name']}  {layer.get('type', '')}  {types if 'type' in layer else ''}".rstrip())
    for text in notes:
        note(text)
    return 0


def _lines(value: Any, indent: int = 0) -> list[str]:
    """Lay nested values out as indented ``key: value`` lines."""
    lines = []
    pad = "  " * indent
    pairs = value.items() if isinstance(value, Mapping) else ((f"{i}", item) for i, item in enumerate(value))
    for key, item in pairs:
        if isinstance(item, Mapping) or (isinstance(item, list) and any(isinstance(x, Mapping) for x in item)):
            lines += [f"{pad}{key}:", *_lines(item, indent + 1)]
        elif item not in (None, [], ""):
            text = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            lines += f"{pad}{key}: {text}".replace("\n", f"\n{pad}  ").split("\n")
    return lines
