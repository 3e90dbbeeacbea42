"""Time of one picture: the published way, the same 300 steps in edgesr, and the few steps that ship."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import edgesr
from benchmarks.diffusion.eager import EagerDiffusion
from benchmarks.diffusion.quality import read_pictures
from benchmarks.diffusion.results import CALL, COMMAND, EAGER, PUBLISHED, SAME, Speed
from benchmarks.environment import child_environment
from benchmarks.timing import alternate
from edgesr.image import Metadata, Picture, write
from edgesr.schedule import ScheduleConfig, make_schedule

SEED = 1
FACTOR = 4


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
    """Time all five in turn on one picture."""
    torch.set_num_threads(threads)
    low = read_pictures(pictures, 1)[0].low
    source, target = folder / "low.png", folder / "large.png"
    write(source, Picture((low[..., None],), Metadata(format="PNG")))
    command = [sys.executable, "-m", "edgesr", "run", str(source), "-m", model, "-o", str(target)]
    command += ["--threads", str(threads), "--json"]

    def process() -> None:
        subprocess.run(command, env=child_environment(), check=True, capture_output=True)

    with (
        edgesr.load(epsilon, device="cpu", threads=threads, seed=SEED, consistency="off") as same,
        edgesr.load(model, device="cpu", threads=threads) as few,
    ):
        config = ScheduleConfig.from_json(same.descriptor.schedule, source=epsilon)
        eager = EagerDiffusion.read(*weights, make_schedule(config))
        noise = eager.draw(low.shape[0] * 4 // FACTOR, SEED)
        exact = low.astype(np.float32) / 255
        made: dict[str, np.ndarray] = {}

        def keep(name: str, picture: np.ndarray) -> None:
            made[name] = picture

        for warm in (few, same):
            warm(low, steps=1)
        process()
        seconds = alternate(
            {
                PUBLISHED: lambda: eager(low, noise, through_numpy=True),
                EAGER: lambda: keep(EAGER, eager(low, noise, through_numpy=False)),
                SAME: lambda: keep(SAME, same(exact)),
                COMMAND: process,
                CALL: lambda: few(low),
            },
            rounds,
            warmup=0,
            pause=0.1,
        )
    error = made[EAGER].clip(0, 1) - made[SAME]
    return Speed(seconds, float(-10 * np.log10(np.mean(np.square(error, dtype=np.float64)))))
