"""Options, order and files of the build benchmark."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.builds.accuracy import Network, Row, open_network, typed_networks
from benchmarks.builds.engines import Build, EngineTimes, Open, measure_engine
from benchmarks.builds.pytorch import TorchTimes, measure_pytorch
from benchmarks.builds.report import render
from benchmarks.environment import Environment, record_environment
from benchmarks.page import RESULTS, say, write
from benchmarks.runtime.networks import Subject, picture
from edgesr.compile.build_process import build_in_process
from edgesr.compile.feeds import Feed, run_copies
from edgesr.engines import open_backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError

SHIPPED = ("cxr-x4", "cxr-x4-fast")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pictures: int
    sides: tuple[int, ...]
    """Of the pictures that engines are timed on."""
    rounds: int
    is_quick: bool


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    environment: Environment
    plan: Plan
    data: dict[str, str]
    """By network, on which pictures it was calibrated and compared."""
    accuracy: list[Row]
    engines: list[EngineTimes]
    pytorch: list[TorchTimes]
    no_gpu: str
    """Why no engine was built; empty where engines were."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("model", nargs="*", metavar="MODEL", help="name, package or ONNX file (default: the shipped)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures, half to calibrate and half to compare on")
    parser.add_argument("--count", type=int, default=32, metavar="N", help="pictures to take of them (default: 32)")
    parser.add_argument("--quick", action="store_true", help="few small runs: a check, not a result")
    parser.add_argument("--no-gpu", action="store_true", help="leave the engines out")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files."""
    plan = Plan(arguments.count, (256, 512, 1024), 200, False)
    if arguments.quick:
        plan = Plan(min(arguments.count, 4), (64,), 5, True)
    opened: Open = partial(_open)
    results = measure(
        plan, arguments.model or SHIPPED, arguments.images, None if arguments.no_gpu else opened, build_in_process
    )
    text = render(results)
    print(text)
    target = write(results, text, arguments.out, "build")
    say(f"written: {target} and .md")


def measure(
    plan: Plan, models: Sequence[str], images: Path | None, opened: Open | None, build: Build = build_in_process
) -> Results:
    """Run every part; the caches of this user are left alone. ``opened`` of None leaves the GPU out."""
    environment = record_environment()
    no_gpu = _reason(opened)
    data: dict[str, str] = {}
    accuracy: list[Row] = []
    engines: list[EngineTimes] = []
    pytorch: list[TorchTimes] = []
    with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as name:
        os.environ["XDG_CACHE_HOME"] = name
        for model in models:
            say(f"{model}: accuracy ...")
            network = open_network(model, images, plan.pictures)
            data[network.name] = network.told
            rows = typed_networks(network)
            accuracy += [row for row, _ in rows]
            if opened is None or no_gpu:
                continue
            made = [typed for _, typed in rows if typed is not None]
            for feed, subject in _inputs(network, model, plan):
                say(f"{network.name}: engines ...")
                (expected,) = run_copies(open_backend("cpu"), network.graph.bytes(), [feed], Path(name))
                engines += [
                    measure_engine(network.name, typed, feed, expected, opened, rounds=plan.rounds, build=build)
                    for typed in made
                ]
                if subject is not None:
                    say(f"{network.name}: PyTorch ...")
                    pytorch += measure_pytorch(subject, "cuda", rounds=plan.rounds, modes=("eager", "compile"))
    return Results(environment, plan, data, accuracy, engines, pytorch, no_gpu)


def _inputs(network: Network, model: str, plan: Plan) -> list[tuple[Feed, Subject | None]]:
    """Return the feeds that engines are timed on, with the picture that they are made of."""
    if network.package is None:
        return [(network.proof.feeds[0], None)]
    colors = network.package.descriptor.input_channels
    found: list[tuple[Feed, Subject | None]] = []
    for side in plan.sides:
        grey = picture(side, side)
        pixels = grey if colors == 1 else np.stack([grey] * 3, axis=-1)
        subject = Subject(network.name, model, pixels)
        found.append((subject.feeds(), subject))
    return found


def _open(graphs: bool) -> TrtBackend:
    return TrtBackend("tensorrt", graphs=graphs)


def _reason(opened: Open | None) -> str:
    """Say why no engine can be built here, or nothing."""
    if opened is None:
        return "--no-gpu was asked for"
    try:
        opened(False).close()
    except BackendError as error:
        return str(error)
    return ""
