"""The X-ray paper's table with the shipped models: quality and time of one picture, 64 x 64 to 256 x 256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.page import say
from benchmarks.timing import alternate
from edgesr.bench.metrics import Lpips
from edgesr.bench.pairs import evenly, find_pairs, read_picture
from edgesr.bench.quality import QualityOptions, bicubic, measure_quality
from edgesr.errors import EdgesrError, InputError
from edgesr.image import Metadata, Picture, from_float, to_float, write
from edgesr.image.resample import downscale
from edgesr.pipelines.load import load
from edgesr.pipelines.sources import find_pictures

SCALE = 4
SHIPPED = ("cxr-x4", "cxr-x4-fast", "cxr-x4-diffusion")
SETTINGS: dict[str, dict[str, Any]] = {"fidelity 1": {"fidelity": 1.0}}
"""Settings that are measured beside the default, of the models that have them."""


@dataclass(frozen=True)
class Measured:
    """One model with one setting, on the pictures given."""

    method: str
    figures: dict[str, float]
    """Means over the pictures: ``psnr``, ``ssim``, and ``lpips`` where its network was given."""
    pictures: int
    seconds: list[float] = field(default_factory=list)
    """Of single pictures of 64 x 64, raw; empty for bicubic."""


def make_pairs(images: Path, folder: Path, count: int) -> tuple[int, int]:
    """Write pairs as the paper makes them: OpenCV's cubic, a 4th and a 16th of the file, nothing antialiased.

    Returns how many were written, and the side of the largest low resolution.
    """
    written = side = 0
    for path in evenly(find_pictures(images), count):
        pixels = read_picture(path)
        height, width = (n // (SCALE * SCALE) * SCALE * SCALE for n in pixels.shape[:2])
        if min(height, width) < 64 * SCALE:
            raise InputError(
                f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels are too few to be made 16 x smaller"
            )
        values = to_float(pixels[:height, :width])
        for name, factor in (("high", SCALE), ("low", SCALE * SCALE)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            small = from_float(downscale(values, factor, "cubic"), pixels.dtype)
            write(folder / name / f"{path.stem}.png", Picture((small,), Metadata(format="PNG")))
            side = max(side, *small.shape[:2]) if name == "low" else side
        written += 1
    return written, side


def measure_models(folder: Path, lpips: Path | None, *, threads: int, rounds: int) -> list[Measured]:
    """Measure bicubic and the shipped models on the pairs in ``folder``; times are of the first picture, in turn."""
    pairs = find_pairs(low=folder / "low", high=folder / "high")
    network = Lpips(lpips) if lpips else None
    options = QualityOptions(metrics=("psnr", "ssim", *(("lpips",) if lpips else ())), lpips=network)
    found = [Measured("bicubic", measure_quality("bicubic", bicubic(SCALE), SCALE, pairs, options).mean, len(pairs))]
    first = pairs[0].read(SCALE)[0][:64, :64]
    pipelines, actions = [], {}
    try:
        for model in SHIPPED:
            say(f"{model} ...")
            pipeline: Any = load(model, "cpu", threads=threads)
            pipelines.append(pipeline)
            for setting, controls in {"": {}, **SETTINGS}.items():
                name = " ".join(part for part in (model, setting) if part)
                run = _with(pipeline, controls)
                try:
                    quality = measure_quality(name, run, SCALE, pairs, options)
                except EdgesrError as error:
                    if not controls:
                        raise
                    say(f"{name} is left out: {error}")
                    continue
                found.append(Measured(name, quality.mean, len(quality.rows)))
                actions[name] = _on(run, first)
        times = alternate(actions, rounds)
    finally:
        for pipeline in pipelines:
            pipeline.close()
        if network is not None:
            network.close()
    return [Measured(it.method, it.figures, it.pictures, times.get(it.method, [])) for it in found]


def _with(pipeline: Any, controls: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda pixels: pipeline(pixels, **controls)


def _on(run: Callable[[Any], Any], picture: Any) -> Callable[[], Any]:
    return lambda: run(picture)
