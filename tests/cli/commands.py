"""Running the command line in this process or in another, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """Exit code and both streams of one command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on standard error, without its prefix."""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("edgesr: "), self.err
        return lines[0].removeprefix("edgesr: ")


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child that imports edgesr from this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def start(*words: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start ``python -m edgesr`` with captured streams; ``run`` gets one thread, as tests share few cores."""
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    threads = ["--threads", "1"] if words[0] == "run" else []
    return subprocess.Popen([sys.executable, "-m", "edgesr", *map(os.fspath, words), *threads], **settings)


def run(*words: str | Path, **options: Any) -> Answer:
    """Run ``python -m edgesr`` to its end."""
    child = start(*words, **options)
    try:
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    decoded = (stream.decode("utf-8", "surrogateescape") if stream is not None else "" for stream in (out, err))
    return Answer(child.returncode, *decoded)


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden and temporary ones too, except the manifest."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in found if path.name != "edgesr-manifest.jsonl")
