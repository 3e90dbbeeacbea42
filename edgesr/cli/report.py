"""``edgesr report``: one file for a bug report, without names, addresses, passwords and patients."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesr import __version__
from edgesr.bench.machine import describe_machine
from edgesr.cli.output import note, result, result_json
from edgesr.cli.scrub import Scrubber
from edgesr.compile.engine_cache import EngineCache
from edgesr.device import this_machine
from edgesr.doctor import Interpreter, diagnose
from edgesr.errors import EdgesrError, InputError
from edgesr.model.registry import list_models

_LINES = 400
_PREFIXES = ("EDGESR_", "CUDA_", "NVIDIA_", "ORT_", "TRT_", "OMP_", "GST_", "XDG_CACHE", "XDG_DATA", "LD_LIBRARY_PATH")


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    log = _tail(arguments.log) if arguments.log else []
    document = collect(log)
    if arguments.json:
        result_json(document)
        return 0
    path = Path(arguments.output or "edgesr-report.json")
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(document, indent=2, default=str) + "\n")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; give another -o FILE") from None
    result(str(path))
    problems = sum(check["status"] == "problem" for check in document["checks"])
    note(f"{problems} problem{'' if problems == 1 else 's'} found; read the file before you send it")
    return 0


def collect(log: list[str]) -> dict[str, Any]:
    """Gather what a maintainer needs; a part that fails is in the report as its error."""
    machine, python = this_machine(), Interpreter.current()
    parts: dict[str, Callable[[], Any]] = {
        "checks": lambda: [asdict(check) for check in diagnose(machine=machine, python=python)],
        "machine": lambda: asdict(machine),
        "facts": lambda: {name: asdict(reading) for name, reading in describe_machine().items()},
        "packages": lambda: dict(sorted(python.packages.items())),
        "environment": lambda: {k: v for k, v in sorted(os.environ.items()) if k.startswith(_PREFIXES)},
        "models": lambda: [asdict(model) for model in list_models()],
        "engines": _engines,
        "log": lambda: log,
    }
    document: dict[str, Any] = {"edgesr": __version__, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    for name, gather in parts.items():
        try:
            document[name] = gather()
        except (EdgesrError, OSError, ValueError, KeyError) as error:
            document[name] = [{"status": "problem", "detail": f"{type(error).__name__}: {error}"}]
    # Through JSON, so that paths and other objects are text before they are scrubbed.
    scrubbed: dict[str, Any] = Scrubber().tree(json.loads(json.dumps(document, default=str)))
    return scrubbed


def _engines() -> list[dict[str, Any]]:
    kept = ("model", "key", "size", "created")
    return [
        {name: getattr(entry, name) for name in kept} | {"machine": entry.facts.get("machine")}
        for entry in EngineCache().entries()
    ]


def _tail(path: str) -> list[str]:
    try:
        with Path(path).open(errors="replace") as stream:
            return [line.rstrip("\n")[:2000] for line in deque(stream, _LINES)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
