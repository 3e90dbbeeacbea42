"""Score a diffusion package beside bicubic, cxr-x4 and the published 300 steps, all through the runtime.

``python -m export.score_diffusion PACKAGE --epsilon EPSILON.edgesr --data DIR --lpips DIR --out scores.json``.
``EPSILON.edgesr`` holds the same U-Net trained by the published objective. Its 300 evaluations a picture are run on
every ``--long-stride``-th picture; the set ``... 300`` gives all methods on those.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

import edgesr
from edgesr.image.backproject import back_project
from edgesr.image.measurement import Bounds, residual
from edgesr.pipelines.diffusion import LatentDiffusion
from export import metrics
from export.data.degradations import bicubic, downscale
from export.evaluation import Case, cases
from export.lpips import Lpips

Method = Callable[[np.ndarray], np.ndarray]
"""Enlarges a uint8 picture."""


class Scores:
    """Scores by method, picture by picture."""

    def __init__(self, lpips: Lpips) -> None:
        self._lpips = lpips
        self._rows: dict[str, list[dict[str, float]]] = {}

    @torch.no_grad()
    def add(self, name: str, image: np.ndarray, case: Case, low: np.ndarray) -> None:
        """Score a uint8 picture."""
        baseline = bicubic(low)
        pair = (torch.from_numpy(p)[None, None].float() / 255 for p in (image, case.high))
        row = {
            "psnr": metrics.psnr(image, case.high),
            "ssim": metrics.ssim(image, case.high),
            "lpips": float(self._lpips(*pair)),
            "grid_index": metrics.grid_index(image),
            "residual": residual(image[..., None], low[..., None], 4, ("cubic",)),
        }
        if not np.array_equal(image, baseline):
            row["detail_precision"] = metrics.detail_precision(image, baseline, case.high)
        self._rows.setdefault(name, []).append(row)

    def table(self) -> dict[str, dict[str, float]]:
        """Return means, with LPIPS as a share of bicubic's and the share of pictures above bicubic's PSNR."""
        base = self._rows["bicubic"]
        found = {}
        for name, rows in self._rows.items():
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            mean["lpips_ratio"] = mean["lpips"] / float(np.mean([row["lpips"] for row in base]))
            mean["above_bicubic"] = float(np.mean([a["psnr"] > b["psnr"] for a, b in zip(rows, base, strict=True)]))
            mean["residual_most"] = max(row["residual"] for row in rows)
            found[name] = mean
        return found


def evaluations(few: LatentDiffusion) -> dict[str, Method]:
    """Return the package with few steps, by a name for the card."""
    usual = few.settings()["steps"]
    return {
        f"{n} evaluation{'s' * (n > 1)}{', the default' * (n == usual)}": partial(few, steps=n)
        for n in sorted({1, 2, 4, usual})
    }


def score(methods: Mapping[str, Method], chosen: list[Case], lpips: Lpips) -> dict[str, object]:
    """Return the means of every method on the same pictures."""
    scores = Scores(lpips)
    for case in chosen:
        low = downscale(case.high, "cubic")
        for name, method in methods.items():
            scores.add(name, method(low), case, low)
    return {
        "pictures": len(chosen),
        "patients": len({case.patient for case in chosen}),
        "methods": scores.table(),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("--epsilon", help="package of the published objective")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=1, help="use every n-th picture")
    parser.add_argument("--long-stride", type=int, default=8, help="and of these every n-th for 300 steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lpips = Lpips("alex", arguments.lpips)
    nih = list(cases(arguments.data, "nih-256", arguments.stride))
    hannover = list(cases(arguments.data, "hannover-256", arguments.stride))
    with (
        edgesr.load(arguments.package, device="cpu", threads=arguments.threads) as few,
        edgesr.load("cxr-x4", device="cpu", threads=arguments.threads) as cxr,
    ):
        short: dict[str, Method] = {
            "bicubic": bicubic,
            "cxr-x4, fidelity 1": lambda low: cxr(low, fidelity=1.0),
            "cxr-x4, default": cxr,
            "cxr-x4, fidelity 0": lambda low: cxr(low, fidelity=0.0),
            **evaluations(few),
        }
        sets = {"nih-256": score(short, nih, lpips), "hannover-256": score(short, hannover, lpips)}
        if arguments.epsilon:
            with edgesr.load(arguments.epsilon, device="cpu", threads=arguments.threads) as epsilon:
                raw: dict[bytes, np.ndarray] = {}

                def published(low: np.ndarray) -> np.ndarray:
                    raw[low.tobytes()] = epsilon(low.astype(np.float32) / 255, consistency="off")
                    return np.rint(raw[low.tobytes()].clip(0, 1) * 255).astype(np.uint8)

                def consistent(low: np.ndarray) -> np.ndarray:
                    made = raw[low.tobytes()][..., None].copy()
                    made = back_project(made, Bounds.of(low[..., None]), 4, "cubic", projection="oblique")
                    return np.rint(made[..., 0] * 255).astype(np.uint8)

                long: dict[str, Method] = {
                    "mean of 4 samples": lambda low: few(low, samples=4),
                    "published: 300 DDPM steps from noise": published,
                    "the same, made consistent": consistent,
                    "the same network, 3 steps from t = 50": lambda low: epsilon(
                        low, steps=3, sampler="dpm++2m", strength=51 / 300
                    ),
                }
                sets["nih-256 300"] = score(short | long, nih[:: arguments.long_stride], lpips)
    arguments.out.write_text(json.dumps({"sets": sets}, indent=1) + "\n")
    for name, found in sets.items():
        print(name, found["pictures"])
        for method, row in found["methods"].items():
            print(f"{method:40}" + " ".join(f"{key} {value:.4f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
