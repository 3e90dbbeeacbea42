"""An engine as a file of the user's: a plain plan that trtexec loads, with its record beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesr.errors import UsageError
from edgesr.model.atomic import replacing, saying_why


def check_engine_file(output: Path | None) -> None:
    """Raise UsageError where writing an engine would destroy what is none."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; choose another name for the engine")
    record = record_beside(output)
    if record.exists() and not _is_record(record):
        raise UsageError(f"{record}: is no engine's record and would be replaced; choose another name")


def write_engine(plan: Path, output: Path, record: Mapping[str, Any]) -> Path:
    """Copy an engine out of the cache; killed at any moment, it leaves no record that is not its own."""
    with saying_why(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        record_beside(output).unlink(missing_ok=True)
        with replacing(output) as target, plan.open("rb") as stream:
            shutil.copyfileobj(stream, target)
        with replacing(record_beside(output)) as target:
            target.write(json.dumps(record, indent=1).encode())
    return output


def record_beside(output: Path) -> Path:
    """Return the record of an engine file."""
    return output.with_suffix(".json")


def timings_beside(output: Path) -> Path:
    """Return the timings that a locked build of an engine file records and replays."""
    return output.with_suffix(".timings")


def _is_record(path: Path) -> bool:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"sha256", "facts"} <= record.keys()
