"""The Python that runs: what is installed in it, and what happens when libraries are imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_SECONDS = 120
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class ProbeError(Exception):
    """A library that could not be imported or asked, in one line."""


@dataclass(frozen=True)
class Answer:
    """What a probe returned, and what the libraries wrote to standard error meanwhile."""

    value: Any
    messages: str


@dataclass(frozen=True)
class Interpreter:
    """One Python installation or virtual environment."""

    version: tuple[int, ...]
    executable: str
    prefix: Path
    base_prefix: Path

    @classmethod
    def current(cls) -> Interpreter:
        """Return the Python that runs this code."""
        return cls(tuple(sys.version_info[:3]), sys.executable, Path(sys.prefix), Path(sys.base_prefix))

    @property
    def is_venv(self) -> bool:
        """Tell whether this is a virtual environment."""
        return self.prefix != self.base_prefix

    @property
    def is_isolated(self) -> bool:
        """Tell whether this is a virtual environment that cannot see the system's packages."""
        try:
            text = (self.prefix / "pyvenv.cfg").read_text(errors="replace")
        except OSError:
            return False
        return self.is_venv and re.search(r"^include-system-site-packages\s*=\s*true", text, re.I | re.M) is None

    @property
    def pip(self) -> str:
        """The command line that starts this Python's pip."""
        return f"{self.executable} -m pip"

    @cached_property
    def packages(self) -> Mapping[str, str]:
        """Installed distributions, name in lower case with hyphens, and version; the first on the path counts."""
        found: dict[str, str] = {}
        for distribution in importlib.metadata.distributions():
            name = distribution.metadata["Name"]
            if name:
                found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version or "0")
        return found

    def locate(self, module: str) -> str | None:
        """Return the file that ``import module`` would load first, without importing it; None when there is none."""
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        return spec.origin or next(iter(spec.submodule_search_locations or ()), None)

    def ask(self, code: str) -> Answer:
        """Run ``code``, which sets ``answer`` to something that JSON can hold, in a process of its own.

        A library that crashes, prints or changes global state then harms nobody. Raises ProbeError with the last line
        of the error.
        """
        script = f"import json, sys\nsys.path[:] = json.loads(sys.argv[1])\n{code}\nprint('\\n' + json.dumps(answer))"
        command = [self.executable, "-I", "-c", script, json.dumps(sys.path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise ProbeError(f"no answer within {_SECONDS} s") from None
        messages = _COLORS.sub("", done.stderr)
        if done.returncode < 0:
            raise ProbeError(f"crashed with {signal.Signals(-done.returncode).name}")
        lines = messages.strip().splitlines()
        if done.returncode:
            raise ProbeError(lines[-1].strip()[:300] if lines else f"ended with code {done.returncode}")
        try:
            return Answer(json.loads(done.stdout.strip().splitlines()[-1]), messages)
        except (ValueError, IndexError):
            raise ProbeError("gave no answer") from None
