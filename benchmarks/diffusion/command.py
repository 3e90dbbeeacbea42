"""Options, order and files of the diffusion benchmark."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.diffusion.memory import Footprint, measure_memory
from benchmarks.diffusion.report import render
from benchmarks.diffusion.results import Point, Speed
from benchmarks.environment import Environment, load_per_core, record_environment
from benchmarks.page import RESULTS, say, warn_of_load, write
from edgesr.device import usable_cores

SHIPPED = "cxr-x4-diffusion"


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    threads: int
    rounds: int
    pictures: int
    steps: tuple[int, ...]
    sides: tuple[int, ...]
    """Of the square inputs whose memory is measured, in pixels."""


@dataclass(frozen=True)
class Results:
    """Everything that one run measured, with the raw samples."""

    environment: Environment
    plan: Plan
    load_after: float | None
    speed: Speed
    quality: list[Point]
    memory: list[Footprint]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--epsilon", required=True, metavar="PACKAGE", help="diffusion of the published objective")
    parser.add_argument("--autoencoder", type=Path, required=True, help="its weights.pt of the autoencoder stage")
    parser.add_argument("--unet", type=Path, required=True, help="its weights.pt of the epsilon stage")
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="PNGs nothing was trained on")
    parser.add_argument("--lpips", type=Path, required=True, metavar="DIR", help="with lpips_alex_state_dict.pt")
    parser.add_argument("--model", default=SHIPPED, help="name or package of the few-step diffusion")
    parser.add_argument("--count", type=int, default=6, metavar="N", help="pictures for the quality table")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--quick", action="store_true", help="few samples and steps: a check, not a result")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all usable cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for .json, .md and .png")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write the files."""
    if find_spec("diffusers") is None:
        raise SystemExit("python -m benchmarks diffusion: diffusers is missing; install it: its AutoencoderKL is timed")
    plan = Plan(
        arguments.threads or usable_cores(),
        arguments.rounds,
        arguments.count,
        (1, 2, 4, 10, 20, 50, 300),
        (64, 256, 512),
    )
    if arguments.quick:
        plan = Plan(plan.threads, 1, 1, (1, 4), (64,))
    results = measure(plan, arguments)
    text = render(results)
    print(text)
    target = write(results, text, arguments.out, "diffusion")
    from benchmarks.diffusion.plot import draw_plot

    draw_plot(results.quality, target.with_suffix(".png"))
    target.with_suffix(".md").write_text(f"{text}\n![quality over evaluations]({target.with_suffix('.png').name})\n")
    say(f"written: {target}, .md and .png")


def measure(plan: Plan, arguments: argparse.Namespace) -> Results:
    """Run every part of the benchmark; the caches of this user are left alone."""
    from benchmarks.diffusion.quality import measure_quality
    from benchmarks.diffusion.speed import measure_speed

    environment = record_environment()
    warn_of_load(environment)
    with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        say("speed ...")
        speed = measure_speed(
            arguments.model,
            arguments.epsilon,
            (arguments.autoencoder, arguments.unet),
            arguments.pictures,
            folder,
            threads=plan.threads,
            rounds=plan.rounds,
        )
        say("memory ...")
        memory = measure_memory(arguments.model, list(plan.sides), folder, threads=plan.threads)
        say("quality ...")
        quality = measure_quality(
            arguments.model,
            arguments.epsilon,
            arguments.pictures,
            arguments.lpips,
            count=plan.pictures,
            steps=plan.steps,
            threads=plan.threads,
        )
    return Results(environment, plan, load_per_core(), speed, quality, memory)
