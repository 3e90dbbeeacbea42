"""Checks of the folders that edgesr writes to, and of the models."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgesr.device import Machine
from edgesr.doctor.check import Check
from edgesr.doctor.interpreter import Interpreter
from edgesr.errors import EdgesrError

LEAST_DISK = 200_000_000


def check_folders(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that the cache and the folder of installed models can be written and have room."""
    from edgesr.model.cache import parts_folder
    from edgesr.model.registry import installed_folder

    for name, find, variable in (
        ("cache", parts_folder, "XDG_CACHE_HOME"),
        ("own models", installed_folder, "XDG_DATA_HOME"),
    ):
        try:
            folder = find()
            place = next(path for path in (folder, *folder.parents) if path.exists())
            with tempfile.TemporaryFile(dir=place):
                free = shutil.disk_usage(place).free
        except (OSError, RuntimeError, EdgesrError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Check(name, "problem", f"cannot be written: {reason}", f"set {variable} to a folder of your own")
            continue
        full = free < LEAST_DISK
        remedy = f"free space there, or set {variable} to another folder" if full else ""
        yield Check(name, "problem" if full else "ok", f"{folder}, {free / 1e9:.1f} GB free", remedy)


def check_models(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that the shipped and installed models open and have the content that they declare."""
    from edgesr.model import DEFAULT_MODEL, list_models, open_package, verify

    models = list_models()
    again = f"{python.pip} install --force-reinstall --no-deps edgesr"
    for model in models:
        problem = model.problem
        try:
            if not problem:
                verify(open_package(model.path))
        except EdgesrError as error:
            problem = str(error)
        if problem:
            own = f"get the package again and run: edgesr models add --force {model.name}.edgesr"
            yield Check(f"model {model.name}", "problem", problem, again if model.origin == "shipped" else own)
        else:
            yield Check(f"model {model.name}", "ok", f"{model.version}, {model.origin}, intact")
    if not any(model.name == DEFAULT_MODEL for model in models):
        yield Check(f"model {DEFAULT_MODEL}", "problem", "the default model is missing", again)
