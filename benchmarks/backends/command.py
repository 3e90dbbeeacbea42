"""Options, order and files of the comparison of runtimes."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.backends.networks import NETWORKS, Network, open_network
from benchmarks.backends.report import render
from benchmarks.backends.sides import open_sides
from benchmarks.environment import Environment, load_per_core, record_environment
from benchmarks.page import RESULTS, say, warn_of_load, write
from benchmarks.timing import alternate
from edgesr.device import usable_cores

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
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="of each network's rounds, of which there are five at least (default: 20)",
    )
    parser.add_argument("--resume", action="store_true", help="measure what today's file of this machine lacks")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts the process's own CPU time, for one thread on a machine that others use too",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files, after every network."""
    threads = arguments.threads or usable_cores()
    if arguments.clock == "cpu" and threads != 1:
        raise SystemExit("--clock cpu adds the threads up and tells nothing about several; use --threads 1 with it")
    environment = record_environment()
    names = arguments.network or list(NETWORKS)
    for name in names:
        if name not in NETWORKS:
            raise SystemExit(f"there is no network {name!r}; use {', '.join(NETWORKS)}")
    results = Results(environment, threads, arguments.clock, None, [], {})
    if arguments.resume:
        results = _resumed(results, arguments.out)
    warn_of_load(environment)
    comparisons, left_out = {it.network: it for it in results.comparisons}, dict(results.left_out)
    for name in names:
        if name in comparisons:
            say(f"{name}: taken from the file")
            continue
        say(f"{name} ...")
        left_out.pop(name, None)
        with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as folder:
            try:
                network = open_network(name, arguments.side, threads, Path(folder))
            except (ImportError, ValueError) as error:
                left_out[name] = str(error)
                say(f"{name} is left out: {error}")
                continue
            comparisons[name] = _compare(network, Path(folder), threads, arguments)
        known = [comparisons[it] for it in NETWORKS if it in comparisons]
        results = replace(results, load_after=load_per_core(), comparisons=known, left_out=dict(left_out))
        write(results, render(results), arguments.out, "backends")
    results = replace(results, left_out=left_out)
    if results.comparisons:
        target = write(results, render(results), arguments.out, "backends")
        print(target.with_suffix(".md").read_text())
        say(f"written: {target} and .md")


def _resumed(empty: Results, folder: Path) -> Results:
    """Return what an earlier run of today left on this machine, with these versions, threads and clock."""
    environment = empty.environment
    file = folder / f"backends-{environment.date}-{environment.kind}.json"
    if not file.exists():
        return empty
    document = json.loads(file.read_text())
    same = {"threads": empty.threads, "clock": empty.clock}
    found = [name for name, value in same.items() if document[name] != value]
    found += [name for name in ("machine", "versions") if document["environment"][name] != getattr(environment, name)]
    if found:
        raise SystemExit(f"{file} differs in {', '.join(found)}; leave out --resume to measure everything anew")
    comparisons = [Comparison(**it) for it in document["comparisons"]]
    # The load before the first network of all is what tells whether the result is preliminary.
    before = replace(environment, load=document["environment"]["load"], commit=document["environment"]["commit"])
    return replace(empty, environment=before, comparisons=comparisons, left_out=document["left_out"])


def _compare(network: Network, folder: Path, threads: int, arguments: argparse.Namespace) -> Comparison:
    sides = open_sides(network, folder, threads=threads, with_compile=not arguments.no_compile)
    clock = CLOCKS[arguments.clock]
    samples = alternate(sides.actions, arguments.rounds, clock=clock, seconds=arguments.seconds)
    return Comparison(network.name, network.size, samples, sides.differences, sides.absent, sides.picked)
