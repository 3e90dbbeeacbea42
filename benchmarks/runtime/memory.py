"""Peak memory and time of restoring files of growing size, each in a process of its own.

``python -m benchmarks.runtime.memory MODEL SMALL LARGE TARGET THREADS`` is that process: it restores a small file, then
the large one, through the code of ``edgesr run``, and prints what it measured as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.environment import child_environment
from benchmarks.runtime.networks import Subject, picture


@dataclass(frozen=True)
class Footprint:
    """One picture through one model."""

    model: str
    side: int
    """Of the square input, in pixels."""
    seconds: float
    """From loading the model to closing the output."""
    peak: int
    """Bytes of resident memory at the highest point."""
    base: int
    """The same after the model was loaded and a 64 x 64 picture restored."""

    @property
    def increase(self) -> int:
        """Bytes that this size of picture adds."""
        return self.peak - self.base


def measure_memory(subject: Subject, sides: list[int], folder: Path, *, threads: int) -> list[Footprint]:
    """Restore a square grey PNG of each side length in a fresh process."""
    small = _write(folder, 64)
    found = []
    for side in sides:
        source, target = _write(folder, side), folder / "restored.png"
        words = [subject.model, str(small), str(source), str(target), str(threads)]
        command = [sys.executable, "-m", "benchmarks.runtime.memory", *words]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{subject.name} on {side} x {side} failed: {done.stderr.strip()}")
        found.append(Footprint(subject.name, side, **json.loads(done.stdout.splitlines()[-1])))
        target.unlink()
        if source != small:
            source.unlink()
    return found


def _write(folder: Path, side: int) -> Path:
    from PIL import Image

    path = folder / f"input_{side}.png"
    if not path.exists():
        Image.fromarray(picture(side, side)).save(path, compress_level=1)
    return path


def child(model: str, small: str, large: str, target: str, threads: str) -> dict[str, float]:
    """Restore two files as the command line does; return seconds of the second, and peak memory after each in bytes."""
    from edgesr.cli import main

    def restore(source: str) -> None:
        code = main(["run", source, "-o", target, "-m", model, "--threads", threads])
        if code:
            raise SystemExit(code)

    restore(small)
    base = peak_memory()
    start = perf_counter()
    restore(large)
    return {"seconds": perf_counter() - start, "peak": peak_memory(), "base": base}


def peak_memory() -> int:
    """Return the most resident memory that this program ever had, in bytes.

    It is read from /proc, because getrusage's ru_maxrss counts what the parent held when it forked.
    """
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError("/proc/self/status has no VmHWM; this benchmark needs Linux")
    return int(match[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
