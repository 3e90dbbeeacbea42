"""What a fresh process costs: help, import, and one small picture from the command line."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.environment import child_environment
from benchmarks.runtime.networks import Subject

_BARE = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
shapes = {"image": (1, 1, 64, 64), "degradation": (3,)}
session.run(None, {i.name: numpy.zeros(shapes.get(i.name, (1,)), numpy.float32) for i in session.get_inputs()})
"""


@dataclass(frozen=True)
class Start:
    """Seconds of one command in fresh processes."""

    command: str
    wall: list[float]
    cpu: list[float]
    """User and system time of the process."""


def measure_starts(models: list[Subject], folder: Path, *, threads: int, rounds: int) -> list[Start]:
    """Run each command ``rounds`` times after one run that is not counted, all in turn."""
    from PIL import Image

    small = folder / "small.png"
    Image.fromarray(models[0].picture[:64, :64]).save(small)
    python = sys.executable
    commands: dict[str, list[str]] = {
        "python -c pass": [python, "-c", "pass"],
        'python -c "import edgesr"': [python, "-c", "import edgesr"],
        "edgesr --help": [python, "-m", "edgesr", "--help"],
    }
    for subject in models:
        target = str(folder / "small_x4.png")
        words = [str(small), "-o", target, "-m", subject.model, "--threads", str(threads)]
        commands[f"edgesr run 64x64 -m {subject.name}"] = [python, "-m", "edgesr", "run", *words]
        path = str(subject.package().part_path("network"))
        commands[f"bare ONNX Runtime, same network ({subject.name})"] = [python, "-c", _BARE, path, str(threads)]
    environment = child_environment()
    found = {name: Start(name, [], []) for name in commands}
    for index in range(-1, rounds):
        for name, words in commands.items():
            wall, cpu = _run(words, environment)
            if index >= 0:
                found[name].wall.append(wall)
                found[name].cpu.append(cpu)
    return list(found.values())


def _run(words: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = perf_counter()
    done = subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    wall = perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
