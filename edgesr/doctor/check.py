"""What a check says, and the words that several checks share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgesr.doctor.interpreter import Interpreter


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "problem", "info"]
    detail: str
    remedy: str = ""
    """What to do, with the exact command where there is one; empty where nothing needs to be done."""


def dotted(version: tuple[int, ...]) -> str:
    """Write a version with dots."""
    return ".".join(map(str, version))


def numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def new_venv(python: Interpreter, executable: str = "/usr/bin/python3") -> str:
    """Say how to make a virtual environment that sees what JetPack installed for the system's Python."""
    folder = python.prefix if python.is_venv else Path(".venv")
    remove = f"rm -r {folder} && " if python.is_venv else ""
    return f"{remove}{executable} -m venv --system-site-packages {folder} && {folder}/bin/python -m pip install edgesr"
