"""``edgesr bench SWEEP.toml``: settings and options from a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.bench.spec import Spec
from edgesr.bench.sweep import read_sweep
from edgesr.cli.bench_options import add_bench
from edgesr.cli.parser import Parser
from edgesr.errors import UsageError

SUFFIX = ".toml"
_OF_THE_FILE = ("precision", "steps", "tile", "device", "threads")


def from_sweep(arguments: argparse.Namespace) -> list[Spec] | None:
    """Return the settings of the sweep that the arguments name, None where they name models.

    What the file says of other options is put into ``arguments``, where the command line does not say otherwise.
    """
    if not any(word.endswith(SUFFIX) for word in arguments.model):
        return None
    if len(arguments.model) > 1:
        raise UsageError("a sweep stands alone; write the other models into it")
    path = Path(arguments.model[0])
    defaults = _parsed([])
    for name in _OF_THE_FILE:
        if getattr(arguments, name) != getattr(defaults, name):
            raise UsageError(f"--{name} is the file's to say; write it into {path}")
    sweep = read_sweep(path)
    try:
        said = _parsed([f"--{name}={word}" for name, word in sweep.options.items()])
    except UsageError as error:
        raise UsageError(f"{path}: {str(error).rpartition('; see')[0] or error}") from None
    for option in sweep.options:
        name = option.replace("-", "_")
        if getattr(arguments, name) == getattr(defaults, name):
            setattr(arguments, name, getattr(said, name))
    return list(sweep.specs)


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = Parser(prog="edgesr")
    add_bench(parser.add_subparsers(dest="command"), [])
    return parser.parse_args(["bench", *words])
