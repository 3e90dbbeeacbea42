"""Scores over network evaluations, and what the projection onto the measurement does to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

import edgesr
from benchmarks.diffusion.results import Point
from edgesr.image.backproject import back_project
from edgesr.image.measurement import Bounds, residual
from edgesr.pipelines.diffusion import LatentDiffusion
from export import metrics
from export.data.degradations import bicubic, downscale
from export.data.xray import read_grey
from export.lpips import Lpips

SCALE, SIDE = 4, 256
TRUNCATED = 51 / 300
"""Strength that begins at timestep 50 of 300."""


@dataclass(frozen=True)
class Pair:
    """A uint8 picture of 256 x 256 and the 64 x 64 one made of it by cv2 cubic."""

    low: np.ndarray
    high: np.ndarray


def read_pictures(folder: Path, count: int) -> list[Pair]:
    """Return ``count`` pictures spread over a folder."""
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise SystemExit(f"{folder}: holds no PNG pictures")
    chosen = paths[:: max(1, len(paths) // count)][:count]
    high = [cv2.resize(read_grey(path), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for path in chosen]
    return [Pair(downscale(picture, "cubic"), picture) for picture in high]


def measure_quality(
    model: str, epsilon: str, folder: Path, lpips: Path, *, count: int, steps: tuple[int, ...], threads: int
) -> list[Point]:
    """Score bicubic, the few-step model at each of its step counts, and the published one at all of ``steps``."""
    torch.set_num_threads(threads)
    pairs, judge = read_pictures(folder, count), Lpips("alex", lpips)
    table = _Table(pairs, judge)
    table.add("bicubic", 0, [bicubic(pair.low).astype(np.float32) / 255 for pair in pairs])
    with edgesr.load(model, device="cpu", threads=threads) as few:
        most = int(few.descriptor.schedule["num_train_timesteps"])
        for n in (n for n in steps if n <= most):
            table.walk(few, model, n, {"steps": n})
    with edgesr.load(epsilon, device="cpu", threads=threads) as slow:
        for n in steps:
            options = {"steps": n, "sampler": "dpm++2m", "strength": TRUNCATED} if n <= 50 else {"steps": n}
            name = "published network, from t = 50" if n <= 50 else "published, DDPM from noise"
            table.walk(slow, name, n, options)
    return table.points


class _Table:
    """Points over the same pictures; the first is bicubic, which stays as it is."""

    def __init__(self, pairs: list[Pair], judge: Lpips) -> None:
        self._pairs, self._judge = pairs, judge
        self.points: list[Point] = []

    def walk(self, diffusion: LatentDiffusion, name: str, evaluations: int, options: dict[str, object]) -> None:
        """Make all pictures and add their point."""
        small = (pair.low.astype(np.float32) / 255 for pair in self._pairs)
        self.add(name, evaluations, [diffusion(low, consistency="off", **options) for low in small])

    @torch.no_grad()
    def add(self, name: str, evaluations: int, raw: list[np.ndarray]) -> None:
        """Score float pictures in [0, 1], after the orthogonal projection but for the first method."""
        rows, gains = [], []
        for image, pair in zip(raw, self._pairs, strict=True):
            projected = back_project(
                image[..., None].copy(), Bounds.of(pair.low[..., None]), SCALE, "cubic", projection="orthogonal"
            )[..., 0]
            gains.append(_exact(projected, pair.high) - _exact(image, pair.high))
            stored = np.rint((projected if self.points else image).clip(0, 1) * 255).astype(np.uint8)
            tensors = (torch.from_numpy(p)[None, None].float() / 255 for p in (stored, pair.high))
            rows.append(
                (
                    metrics.psnr(stored, pair.high),
                    metrics.ssim(stored, pair.high),
                    float(self._judge(*tensors)),
                    residual(stored[..., None], pair.low[..., None], SCALE, ("cubic",)),
                )
            )
        psnr, ssim, lpips, levels = (float(value) for value in np.mean(rows, axis=0))
        ratio = lpips / self.points[0].lpips if self.points else 1.0
        worst = float(max(row[3] for row in rows))
        gain, least = float(np.mean(gains)), float(np.min(gains))
        self.points.append(Point(name, evaluations, psnr, ssim, lpips, ratio, levels, worst, gain, least))


def _exact(image: np.ndarray, high: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(image.astype(np.float64).clip(0, 1) - high / 255.0))))
