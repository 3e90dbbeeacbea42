"""Where and with what something was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgesr import __version__
from edgesr.device import Machine, this_machine

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("numpy", "onnxruntime", "openvino", "onnx", "torch", "pillow", "opencv-python-headless")
QUIET = 0.25
"""Load per core above which other work disturbs a measurement."""


@dataclass(frozen=True)
class Environment:
    """Date, machine and versions of one run of a benchmark; no names of users or computers."""

    date: str
    machine: str
    kind: str
    """Architecture, cores and processor's maker, as used in file names."""
    system: str
    versions: dict[str, str]
    commit: str
    """Of the checkout, with ``+changes`` where files below edgesr/ or benchmarks/ differ from it."""
    load: float | None
    """Runnable processes per core, averaged over the minute before the run."""

    @property
    def is_quiet(self) -> bool:
        """Tell whether the machine was free when the run began."""
        return self.load is not None and self.load <= QUIET


def record_environment() -> Environment:
    """Look at the machine, the libraries and the checkout."""
    machine = this_machine()
    versions = {"edgesr": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Environment(
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        machine=_describe(machine),
        kind=f"{machine.architecture}-{machine.cores}c-{machine.vendor}",
        system=f"{platform.system()} {platform.release().split('-')[0]}, {' '.join(platform.libc_ver())}",
        versions=versions,
        commit=_commit(),
        load=load_per_core(),
    )


def child_environment() -> dict[str, str]:
    """Return the variables for processes that run this checkout, with bytecode kept as in an installation."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def load_per_core() -> float | None:
    """Return the load of the last minute divided by the usable cores, None where the system does not say."""
    try:
        return round(os.getloadavg()[0] / this_machine().cores, 2)
    except OSError:
        return None


def _describe(machine: Machine) -> str:
    board = f"{machine.jetson.model}, " if machine.jetson else ""
    memory = f"{machine.memory_total / (1 << 30):.0f} GiB"
    return f"{board}{machine.cpu}, {machine.cores} cores, {memory}, {machine.gpu or 'no GPU'}"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "edgesr", "benchmarks")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
