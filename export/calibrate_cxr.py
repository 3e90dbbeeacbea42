"""Choose the default of the fidelity dial and calibrate the error bound on validation patients.

``python -m export.calibrate_cxr --data DIR --lpips DIR --network network.onnx --estimator estimator.json
--out calibration.json``
"""

import argparse
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgesr.image.noise import noise_level
from edgesr.model import NoiseRule
from export.error_bound import IMAGES, NOISES, PIXELS, Predicted, add_noise, cross_coverage, fit_bound
from export.evaluation import Case, Enlarger, Judge, baseline_and_low, cases
from export.models.resample import DEGRADATIONS

BOUNDS = {"psnr": 0.35, "ssim": 0.001, "detail_precision": 0.66, "grid_index": 1.9}
"""What the sharpest admissible setting keeps: decibels and SSIM over bicubic, precision, and a grid index at most."""

CALIBRATION = (("nih-256", 1), ("nih-512", 4), ("nih-1024-256", 1))
"""Sets of the bound, and every how many-th picture of them."""
NOISY_STRIDE = 4
"""Every n-th picture of nih-256 is enlarged with noise, too."""
DIALS = tuple(round(0.05 * i, 2) for i in range(21))


def choose_fidelity(enlarge: Enlarger, data: Path, lpips: Path, stride: int) -> tuple[float, list[dict[str, float]]]:
    """Return the smallest admissible fidelity (1 if none is) and the mean scores along the dial."""
    judge = Judge(lpips)
    chosen = [case for name in ("nih-256", "nih-1024-256") for case in cases(data, name, stride)]
    pictures = [(case.high, *baseline_and_low(case.high, "cubic")) for case in chosen]
    bicubic = _mean([judge.scores(base, base, low, high) for high, low, base in pictures])
    curve = []
    for fidelity in DIALS:
        scores = _mean([judge.scores(enlarge(low, fidelity)[0], base, low, high) for high, low, base in pictures])
        scores["psnr"] -= bicubic["psnr"]
        scores["ssim"] -= bicubic["ssim"]
        scores["lpips"] /= bicubic["lpips"]
        curve.append({"fidelity": fidelity} | scores)
    admissible = [row["fidelity"] for row in curve if _is_admissible(row)]
    return min(admissible, default=1.0), curve


def predict(enlarge: Enlarger, case: Case, kernel: str, fidelity: float, noise: float = 0.0) -> Predicted:
    """Enlarge one picture, with white noise of a deviation of ``noise`` grey levels if any."""
    high = add_noise(case.high, noise, zlib.crc32(case.name.encode())) if noise else case.high
    low, _ = baseline_and_low(high, kernel)
    image, scale = enlarge(low, fidelity)
    error = np.abs(image.astype(np.float32) - high) / 255
    return Predicted(case.patient, noise_level(low[..., None]), enlarge.shares(low), error, scale / 255)


def calibrate(enlarge: Enlarger, data: Path, fidelity: float) -> dict[str, Any]:
    """Return the factor and the noise rules of the bound, and what they are worth on unseen patients."""
    cases_of = {name: list(cases(data, name, stride)) for name, stride in CALIBRATION}
    clean = {
        kernel: [predict(enlarge, case, kernel, fidelity) for chosen in cases_of.values() for case in chosen]
        for kernel in DEGRADATIONS
    }
    some = cases_of["nih-256"][::NOISY_STRIDE]
    noisy = {
        kernel: [predict(enlarge, case, kernel, fidelity, noise) for noise in NOISES for case in some]
        for kernel in DEGRADATIONS
    }
    factor, rules = fit_bound(clean, noisy)
    factors = {kernel: [(one.patient, one.factor(rules)) for one in made] for kernel, made in clean.items()}
    chosen = clean["cubic"]
    return {
        "factor": factor,
        "noise": {kernel: asdict(rule) for kernel, rule in rules.items()},
        "pixels": PIXELS,
        "pictures": IMAGES,
        "number_of_pictures": len(chosen),
        "number_of_patients": len({one.patient for one in chosen}),
        "number_of_noisy_pictures": len(some),
        "coverage": cross_coverage(factors),
        "coverage_with_noise": {
            kernel: {
                f"{noise:g}": _coverage(made[number * len(some) : (number + 1) * len(some)], factor, rules)
                for number, noise in enumerate(NOISES)
            }
            for kernel, made in noisy.items()
        },
    }


def _coverage(made: Sequence[Predicted], factor: float, rules: Mapping[str, NoiseRule]) -> dict[str, float]:
    inside = [one.inside(factor, rules) for one in made]
    return {"pixels": float(np.mean(inside)), "pictures": float(np.mean([share >= PIXELS for share in inside]))}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--estimator", type=Path, required=True, help="file of export.estimator_cxr")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=1, help="use every n-th picture for the dial")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    estimator = json.loads(arguments.estimator.read_text())
    enlarge = Enlarger(arguments.network, estimator["estimator"], arguments.threads)
    fidelity, curve = choose_fidelity(enlarge, arguments.data, arguments.lpips, arguments.stride)
    result = {
        "default_fidelity": fidelity,
        **estimator,
        "dial": curve,
        "bounds": BOUNDS,
        "conformal": calibrate(enlarge, arguments.data, fidelity),
    }
    arguments.out.write_text(json.dumps(result, indent=1))
    print(f"default fidelity {fidelity}, conformal factor {result['conformal']['factor']:.3f}")


def _is_admissible(row: dict[str, float]) -> bool:
    floors = all(row[name] >= BOUNDS[name] for name in ("psnr", "ssim", "detail_precision"))
    return floors and row["grid_index"] <= BOUNDS["grid_index"]


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


if __name__ == "__main__":
    main()
