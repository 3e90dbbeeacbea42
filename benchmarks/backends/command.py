"""Options, order and files of the comparison of runtimes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.backends.networks import PAPERS, UNET_LITE, Network, paper, shipped
from benchmarks.backends.report import render
from benchmarks.backends.sides import open_sides
from benchmarks.environment import Environment, load_per_core, record_environment
from benchmarks.timing import alternate
from edgesr.device import usable_cores

RESULTS = Path(__file__).resolve().parents[1] / "results"
SHIPPED = ("cxr-x4", "cxr-x4-fast")
CLOCKS = {"wall": perf_counter, "cpu": process_time}


@dataclass(frozen=True)
class Comparison:
    """One network in every runtime."""

    network: str
    size: str
    samples: dict[str, list[float]]
    """Seconds of every run by side, one of each side per round."""
    differences: dict[str, float]
    absent: dict[str, str]
    picked: str


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    environment: Environment
    threads: int
    clock: str
    load_after: float | None
    comparisons: list[Comparison]
    left_out: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all usable cores)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="runs of each side (default: 15)")
    parser.add_argument("--side", type=int, default=96, metavar="PIXELS", help="side of the input (default: 96)")
    parser.add_argument("--network", action="append", metavar="NAME", help="measure only this one; repeatable")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts the process's own CPU time, for one thread on a machine that others use too",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files."""
    threads = arguments.threads or usable_cores()
    if arguments.clock == "cpu" and threads != 1:
        raise SystemExit("--clock cpu adds the threads up and tells nothing about several; use --threads 1 with it")
    environment = record_environment()
    if not environment.is_quiet:
        _say(f"other work is running on this machine (load {environment.load} per core): the result is preliminary")
    comparisons, left_out = [], {}
    names = arguments.network or [*SHIPPED, *PAPERS, UNET_LITE]
    for name in names:
        _say(f"{name} ...")
        with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as folder:
            try:
                in_folder = Path(folder)
                network = (
                    shipped(name, arguments.side, threads)
                    if name in SHIPPED
                    else paper(name, arguments.side, in_folder)
                )
            except (ImportError, ValueError) as error:
                left_out[name] = str(error)
                _say(f"{name} is left out: {error}")
                continue
            comparisons.append(_compare(network, in_folder, threads, arguments))
        # After every network, so that a run that is stopped leaves what it has.
        results = Results(environment, threads, arguments.clock, load_per_core(), list(comparisons), dict(left_out))
        target = _write(results, arguments.out)
    if comparisons:
        print(target.with_suffix(".md").read_text())
        _say(f"written: {target} and .md")


def _write(results: Results, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"backends-{results.environment.date}-{results.environment.kind}.json"
    target.write_text(json.dumps(asdict(results), indent=1) + "\n")
    target.with_suffix(".md").write_text(render(results))
    return target


def _compare(network: Network, folder: Path, threads: int, arguments: argparse.Namespace) -> Comparison:
    sides = open_sides(network, folder, threads=threads, with_compile=not arguments.no_compile)
    samples = alternate(sides.actions, arguments.rounds, clock=CLOCKS[arguments.clock])
    return Comparison(network.name, network.size, samples, sides.differences, sides.absent, sides.picked)


def _say(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr, flush=True)
