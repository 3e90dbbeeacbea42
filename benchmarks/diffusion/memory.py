"""Peak memory of ``edgesr run`` with a diffusion, in processes of their own, above a bare interpreter.

``python -m benchmarks.diffusion.memory [WORDS OF edgesr ...]`` is such a process; without words it does nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import child_environment
from benchmarks.runtime.memory import peak_memory


@dataclass(frozen=True)
class Footprint:
    """One square picture through one model."""

    side: int
    """Of the input, in pixels."""
    peak: int
    """Bytes of resident memory at the highest point."""
    interpreter: int
    """The same of an interpreter that imports nothing but what reads this number."""


def measure_memory(model: str, sides: list[int], folder: Path, *, threads: int) -> list[Footprint]:
    """Enlarge a grey PNG of each side in a fresh process, with the options of the command line."""
    from benchmarks.runtime.networks import picture
    from edgesr.image import Metadata, Picture, write

    bare = _peak([])
    found = []
    for side in sides:
        source, target = folder / f"input_{side}.png", folder / "enlarged.png"
        pixels = picture(side, side)
        write(source, Picture((pixels.reshape(side, side, -1)[..., :1].copy(),), Metadata(format="PNG")))
        words = ["run", str(source), "-m", model, "-o", str(target), "--threads", str(threads)]
        found.append(Footprint(side, _peak(words), bare))
        target.unlink()
    return found


def _peak(words: list[str]) -> int:
    command = [sys.executable, "-m", "benchmarks.diffusion.memory", *words]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"edgesr {' '.join(words)} failed: {done.stderr.strip()}")
    return int(json.loads(done.stdout.splitlines()[-1]))


def child(words: list[str]) -> int:
    """Do what the words say and return the most memory that this process ever had, in bytes."""
    if words:
        from edgesr.cli import main

        code = main(words)
        if code:
            raise SystemExit(code)
    return peak_memory()


if __name__ == "__main__":
    print(json.dumps(child(sys.argv[1:])))
