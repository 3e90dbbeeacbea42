"""Options, order and files of the runtime benchmark."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import Environment, load_per_core, record_environment
from benchmarks.page import RESULTS, say, warn_of_load, write
from benchmarks.runtime.memory import Footprint, measure_memory
from benchmarks.runtime.networks import Subject, subjects
from benchmarks.runtime.overhead import Comparison, against_onnxruntime, against_pytorch
from benchmarks.runtime.report import render
from benchmarks.runtime.start import Start, measure_starts
from edgesr.device import usable_cores

LARGEST = 8192


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    side: int
    """Of the timed picture, in pixels."""
    starts: int
    loads: int
    rounds: int
    sides: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class Results:
    """Everything that one run measured, with the raw samples."""

    environment: Environment
    plan: Plan
    load_after: float | None
    starts: list[Start]
    overhead: list[Comparison]
    pytorch: list[Comparison]
    memory: list[Footprint]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--quick", action="store_true", help="few samples of small pictures: a check, not a result")
    parser.add_argument(
        "--full", action="store_true", help="restore 8192 x 8192 with every model, not only the smallest"
    )
    parser.add_argument(
        "--largest", type=int, default=LARGEST, metavar="PIXELS", help="leave out pictures of larger side"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all usable cores)")
    parser.add_argument(
        "--model", action="append", metavar="MODEL", help="name or package; repeatable (default: the shipped models)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files."""
    threads = arguments.threads or usable_cores()
    sides = tuple(side for side in (64, 256, 1024, 4096, LARGEST) if side <= arguments.largest)
    plan = Plan(256, 11, 4, 12, sides, threads)
    if arguments.quick:
        plan = Plan(64, 2, 1, 3, sides[:2], threads)
    results = measure(plan, arguments.model or ["cxr-x4", "cxr-x4-fast"], full=arguments.full)
    text = render(results)
    print(text)
    target = write(results, text, arguments.out, "runtime")
    say(f"written: {target} and .md")


def measure(plan: Plan, models: list[str], *, full: bool) -> Results:
    """Run every part of the benchmark; the caches of this user are left alone."""
    environment = record_environment()
    warn_of_load(environment)
    with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        timed = subjects(models, folder, side=plan.side)
        shipped = timed[: len(models)]
        say("start-up ...")
        starts = measure_starts(shipped, folder, threads=plan.threads, rounds=plan.starts)
        overhead, pytorch = [], []
        for subject in timed:
            say(f"{subject.name} against ONNX Runtime ...")
            overhead.append(against_onnxruntime(subject, threads=plan.threads, loads=plan.loads, rounds=plan.rounds))
        for subject in shipped:
            say(f"{subject.name} against PyTorch ...")
            rounds = plan.rounds * plan.loads // 2 + 1
            pytorch.append(against_pytorch(subject, threads=plan.threads, rounds=rounds))
        memory = []
        for subject in shipped:
            say(f"{subject.name}: memory ...")
            memory += measure_memory(subject, _sides(plan, subject, shipped, full=full), folder, threads=plan.threads)
    return Results(environment, plan, load_per_core(), starts, overhead, pytorch, memory)


def _sides(plan: Plan, subject: Subject, shipped: list[Subject], *, full: bool) -> list[int]:
    """Return the sizes for one model: the largest for the smallest model alone, unless ``full``."""
    smallest = min(shipped, key=lambda s: s.package().part_path("network").stat().st_size)
    return [side for side in plan.sides if full or side < LARGEST or subject == smallest]
