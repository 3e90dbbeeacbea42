"""Time of one picture: the published way, the same 300 steps in edgesr, and the few steps that ship."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import edgesr
from benchmarks.diffusion.eager import SEEDED, EagerDiffusion
from benchmarks.diffusion.quality import read_pictures
from benchmarks.diffusion.results import (
    BARE,
    CALL,
    CALL_VINO,
    COMMAND,
    EAGER,
    FOLDER,
    FOLDER_VINO,
    FULL,
    FULL_PROCESS,
    LONG_STEPS,
    LOOP,
    OF_A_FOLDER,
    PROCESS,
    PUBLISHED,
    SAME,
    SHORT,
    SHORT_STEPS,
    Speed,
)  # fmt: skip
from benchmarks.environment import child_environment
from benchmarks.timing import alternate
from edgesr.engines import open_backend
from edgesr.engines.base import Buffer
from edgesr.engines.ort import OrtEngine
from edgesr.image import Metadata, Picture, write
from edgesr.model import ModelPackage
from edgesr.model.diffusion_rules import UNET
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.schedule import ScheduleConfig, make_schedule

SEED = 1
LOOP_ROUNDS = 30
"""More than of the whole pictures: the loop adds less than what runs of one network differ by."""


def measure_speed(
    model: str,
    epsilon: str,
    weights: tuple[Path, Path],
    pictures: Path,
    folder: Path,
    *,
    threads: int,
    rounds: int,
) -> Speed:
    """Time all in turn on one picture, and folders of several."""
    torch.set_num_threads(threads)
    lows = [pair.low for pair in read_pictures(pictures, OF_A_FOLDER)]
    low, source, target, many = lows[0], folder / "low.png", folder / "large.png", folder / "many"
    many.mkdir()
    for path, content in [(source, low), *((many / f"{n}.png", each) for n, each in enumerate(lows))]:
        write(path, Picture((content[..., None],), Metadata(format="PNG")))
    options = ["-m", model, "--threads", str(threads), "--json"]
    rest = [epsilon, str(source), str(target), str(threads)]
    published = ["benchmarks.diffusion.eager", *map(str, weights), *rest]
    full_process = ["benchmarks.diffusion.eager", SEEDED, SEEDED, *rest]

    def run(*words: str) -> None:
        command = [sys.executable, "-m", *words]
        subprocess.run(command, env=child_environment(), check=True, capture_output=True)

    def process() -> None:
        run("edgesr", "run", str(source), "-o", str(target), "--device", "cpu", *options)

    def many_files(device: str) -> None:
        run("edgesr", "run", str(many), "-o", str(folder / "out"), "--restart", "--device", device, *options)

    with (
        ExitStack() as stack,
        edgesr.load(epsilon, device="cpu", threads=threads, seed=SEED, consistency="off") as same,
        edgesr.load(model, device="cpu", threads=threads) as few,
    ):
        config = ScheduleConfig.from_json(same.descriptor.schedule, source=epsilon)
        schedule = make_schedule(config)
        eager, full = EagerDiffusion.read(*weights, schedule), EagerDiffusion.published(schedule)
        noise, full_noise = eager.draw(low, SEED), full.draw(low, SEED)
        exact = low.astype(np.float32) / 255
        bare = bare_calls(same.package, noise[0].shape, threads)
        made: dict[str, np.ndarray] = {}

        def keep(name: str, picture: np.ndarray) -> None:
            made[name] = picture

        others: dict[str, Callable[[], object]] = {}
        if find_spec("openvino") is not None:
            vino = stack.enter_context(edgesr.load(model, device="openvino", threads=threads))
            vino(low)
            others = {FOLDER_VINO: lambda: many_files("openvino"), CALL_VINO: lambda: vino(low)}
        for warm in (few, same):
            warm(low, steps=1)
        bare(1)
        process()
        seconds = alternate(
            {
                FULL: lambda: full(low, full_noise, through_numpy=True),
                FULL_PROCESS: lambda: run(*full_process),
                PUBLISHED: lambda: eager(low, noise, through_numpy=True),
                EAGER: lambda: keep(EAGER, eager(low, noise, through_numpy=False)),
                PROCESS: lambda: run(*published),
                SAME: lambda: keep(SAME, same(exact)),
                COMMAND: process,
                FOLDER: lambda: many_files("cpu"),
                CALL: lambda: few(low),
                **others,
            },
            rounds,
            warmup=0,
            pause=0.1,
        )
        seconds |= alternate(
            {
                LOOP: lambda: same(exact, steps=LONG_STEPS),
                SHORT: lambda: same(exact, steps=SHORT_STEPS),
                BARE: lambda: bare(LONG_STEPS - SHORT_STEPS),
            },
            LOOP_ROUNDS if rounds > 1 else 1,
        )
        loop = [measure_loop(same, exact) for _ in range(2 * rounds)]
    for name in {FOLDER, FOLDER_VINO} & set(seconds):
        seconds[name] = [value / len(lows) for value in seconds[name]]
    error = made[EAGER].clip(0, 1) - made[SAME]
    return Speed(seconds, float(-10 * np.log10(np.mean(np.square(error, dtype=np.float64)))), loop)


def measure_loop(pipeline: LatentDiffusion, picture: np.ndarray) -> float:
    """Return what the steps from SHORT_STEPS to LONG_STEPS spend beside their calls of the engine, in percent."""
    inside = 0.0
    run = OrtEngine.run

    def timed(engine: OrtEngine, *arguments: Any) -> Mapping[str, Buffer]:
        nonlocal inside
        start = perf_counter()
        try:
            return run(engine, *arguments)
        finally:
            inside += perf_counter() - start

    spent = []
    OrtEngine.run = timed
    try:
        for steps in (SHORT_STEPS, LONG_STEPS):
            inside, start = 0.0, perf_counter()
            pipeline(picture, steps=steps)
            spent.append((perf_counter() - start, inside))
    finally:
        OrtEngine.run = run
    (short, in_short), (long, in_long) = spent
    return 100 * ((long - short) / (in_long - in_short) - 1)


def bare_calls(package: ModelPackage, shape: tuple[int, ...], threads: int) -> Callable[[int], None]:
    """Return what runs the package's U-Net so many times on states of one shape, with nothing around it."""
    backend = open_backend("cpu", threads=threads)
    engine, part = backend.load(package.part_path(UNET)), package.descriptor.parts[UNET]
    buffers = {}
    for role, name in part.inputs.items():
        spec = engine.inputs[name]
        size = tuple(max(n, 1) for n in spec.shape) if role == "timestep" else shape
        buffers[name] = backend.empty(size, spec.dtype)
        buffers[name].copy_from(np.full(size, 0.5, spec.dtype))
    output = part.outputs["prediction"]
    made = {output: backend.empty(shape, engine.outputs[output].dtype)}

    def run(times: int) -> None:
        for _ in range(times):
            engine.run(buffers, made)

    return run
