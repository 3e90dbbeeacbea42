"""What the pages of all benchmarks share: heads, tables, files, and lines about the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.environment import QUIET, Environment

RESULTS = Path(__file__).resolve().parent / "results"


def head(title: str, environment: Environment, *facts: str) -> str:
    """Return the title with date, the machine, the versions, and further facts as a list."""
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    lines = [
        f"# {title}, {environment.date}, {environment.kind}",
        "",
        f"* Machine: {environment.machine}; {environment.system}",
        f"* Versions: {versions}; commit {environment.commit}",
        *(f"* {fact}" for fact in facts),
    ]
    return "\n".join(lines)


def preliminary(environment: Environment) -> list[str]:
    """Return a warning for the head where other work was running, else nothing."""
    if environment.is_quiet:
        return []
    return [f"**Preliminary: other work was running (load above {QUIET} per core before the run).**"]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def section(title: str, protocol: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with its title and how it was measured."""
    return f"## {title}\n\n{protocol}\n\n{table(header, rows)}"


def write(results: Any, text: str, folder: Path, name: str) -> Path:
    """Write a dataclass with an ``environment`` as JSON and its page beside it; return the JSON file."""
    environment: Environment = results.environment
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{environment.date}-{environment.kind}.json"
    target.write_text(json.dumps(asdict(results), indent=1) + "\n")
    target.with_suffix(".md").write_text(text)
    return target


def warn_of_load(environment: Environment) -> None:
    """Say when other work is running."""
    if not environment.is_quiet:
        say(f"other work is running on this machine (load {environment.load} per core): the result is preliminary")


def say(text: str) -> None:
    """Write a line about the run to standard error."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)
