"""Options, order and files of the papers' tables."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.environment import Environment, load_per_core, record_environment
from benchmarks.page import RESULTS, say, warn_of_load, write
from benchmarks.papers.architectures import Row, measure_architecture
from benchmarks.papers.networks import ARCHITECTURES
from benchmarks.papers.quality import Measured, make_pairs, measure_models
from benchmarks.papers.report import render
from edgesr.device import usable_cores


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    environment: Environment
    threads: int
    load_after: float | None
    pictures: str
    """What the quality is of; empty where no pictures were given."""
    quality: list[Measured]
    rows: list[Row]
    left_out: dict[str, str]
    """Networks that could not be made here, with the reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="X-rays that nothing was trained on, from 256 pixels on; of 1024 best",
    )
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="network of `python -m export lpips`")
    parser.add_argument("--count", type=int, default=16, metavar="N", help="pictures to take (default: 16)")
    parser.add_argument("--network", action="append", metavar="NAME", help="only this architecture; repeatable")
    parser.add_argument("--no-architectures", action="store_true", help="the X-ray table alone")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="runs of each runtime (default: 9)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="of each network's rounds, five at least (default: 10)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all usable cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files, after every network."""
    environment = record_environment()
    warn_of_load(environment)
    threads = arguments.threads or usable_cores()
    results = Results(environment, threads, None, "", [], [], {})
    with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as place:
        folder = Path(place)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        if arguments.images:
            say("pictures ...")
            count, side = make_pairs(arguments.images, folder, arguments.count)
            told = f"{count} picture(s) of at most {side} x {side} low-resolution pixels"
            quality = measure_models(folder, arguments.lpips, threads=threads, rounds=arguments.rounds)
            results = replace(results, pictures=told, quality=quality)
        names = [] if arguments.no_architectures else arguments.network or list(ARCHITECTURES)
        for name in names:
            if name not in ARCHITECTURES:
                raise SystemExit(f"there is no network {name!r}; use {', '.join(ARCHITECTURES)}")
        for name in names:
            say(f"{name} ...")
            try:
                row = measure_architecture(name, threads=threads, rounds=arguments.rounds, seconds=arguments.seconds)
            except ImportError as error:
                results = replace(results, left_out={**results.left_out, name: str(error)})
                continue
            results = replace(results, rows=[*results.rows, row], load_after=load_per_core())
            write(results, render(results), arguments.out, "papers")
    results = replace(results, load_after=load_per_core())
    text = render(results)
    print(text)
    say(f"written: {write(results, text, arguments.out, 'papers')} and .md")
