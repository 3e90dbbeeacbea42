"""``edgesr pack``: a model package from an ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgesr.cli.output import note, result, result_json
from edgesr.cli.run import expectations
from edgesr.errors import InputError, UsageError
from edgesr.image.source import open_source
from edgesr.model import pack
from edgesr.pipelines.load import cpu_probe

_MAX_BYTES = 1 << 20


def execute(arguments: argparse.Namespace) -> int:
    """Write the package and print where it is."""
    output = Path(arguments.output)
    fields = _descriptor(arguments.descriptor)
    package = pack(
        Path(arguments.onnx),
        output,
        name=arguments.name or fields.get("name") or output.stem,
        version=arguments.model_version or fields.get("version") or "1.0.0",
        overrides=fields,
        expects=expectations(arguments),
        probe=cpu_probe,
    )
    if arguments.json:
        result_json({"package": str(output), "digest": package.digest, "notes": package.notes})
        return 0
    result(str(output))
    for text in package.notes:
        note(text)
    return 0


def _descriptor(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with open_source(path) as file:
            fields = json.loads(file.read(_MAX_BYTES))
    except InputError as error:
        raise UsageError(f"--descriptor {error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--descriptor {path}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"--descriptor {path}: must hold one JSON object")
    return fields
