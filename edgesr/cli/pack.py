"""``edgesr pack``: a model package from an ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgesr.cli.run import expectations
from edgesr.errors import UsageError
from edgesr.model import pack
from edgesr.pipelines.load import cpu_probe


def execute(arguments: argparse.Namespace) -> int:
    """Write the package and print where it is."""
    output = Path(arguments.output)
    package = pack(
        Path(arguments.onnx),
        output,
        name=arguments.name or output.stem,
        version=arguments.model_version,
        overrides=_descriptor(arguments.descriptor),
        expects=expectations(arguments),
        probe=cpu_probe,
    )
    print(json.dumps({"package": str(output), "digest": package.digest}) if arguments.json else output)
    return 0


def _descriptor(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--descriptor {path}: cannot read it: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--descriptor {path}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"--descriptor {path}: must hold one JSON object")
    return fields
