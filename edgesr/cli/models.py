"""``edgesr models``: the shipped and installed models."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgesr.errors import UsageError
from edgesr.model import add, list_models, remove


def execute(arguments: argparse.Namespace) -> int:
    """List, add or remove models."""
    if arguments.action == "list":
        if arguments.target is not None:
            raise UsageError(f"`edgesr models list` takes no argument, got {arguments.target!r}")
        return _list(as_json=arguments.json)
    if arguments.target is None:
        raise UsageError(f"say what to {arguments.action}: edgesr models {arguments.action} FILE|NAME")
    if arguments.action == "add":
        target = add(Path(arguments.target), force=arguments.force)
    else:
        target = remove(arguments.target)
    print(json.dumps({arguments.action: str(target)}) if arguments.json else target)
    return 0


def _list(*, as_json: bool) -> int:
    models = list_models()
    if as_json:
        print(json.dumps([asdict(model) for model in models], indent=2, default=str))
        return 0
    for model in models:
        size = f"{model.size / 1e6:.1f} MB"
        columns = f"{model.name:<20} {model.version:<8} {model.task:<10} x{model.scale}  {size:>8}  {model.origin:<9}"
        print(f"{columns} {model.description}")
    return 0
