"""``edgesr models``: the shipped and installed models."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from edgesr.cli.output import result, result_json
from edgesr.errors import UsageError
from edgesr.model import add, list_models, remove
from edgesr.model.registry import ModelInfo


def execute(arguments: argparse.Namespace) -> int:
    """List, add or remove models."""
    action, target = arguments.action, arguments.target
    if action == "list":
        if target is not None:
            raise UsageError(f"`edgesr models list` takes no argument, got {target!r}")
        return _list(as_json=arguments.json)
    if target is None:
        raise UsageError(f"say what to {action}: edgesr models {action} {'FILE' if action == 'add' else 'NAME'}")
    path = add(target, force=arguments.force) if action == "add" else remove(target)
    if arguments.json:
        result_json({action: str(path)})
    else:
        result(str(path))
    return 0


def _list(*, as_json: bool) -> int:
    models = list_models()
    if as_json:
        result_json([asdict(model) for model in models])
        return 0
    for model in models:
        facts = _facts(model) if not model.problem else "damaged"
        columns = f"{model.name:<20} {model.version:<8} {facts:<25}  {model.size / 1e6:>5.1f} MB  {model.origin:<9}"
        result(f"{columns} {model.problem or model.description}")
    return 0


def _facts(model: ModelInfo) -> str:
    """Say what a model does: its task, how many times it enlarges, how many classes it knows."""
    scale = f" x{model.scale}" if model.scale is not None else ""
    classes = f" {model.classes} classes" if model.classes is not None else ""
    return f"{model.task:<9}{scale}{classes}"
