"""Choose the default of the fidelity dial and the conformal factor on validation patients.

``python -m export.calibrate_cxr --data DIR --lpips DIR --network network.onnx --estimator estimator.json
--out calibration.json``
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from export.evaluation import Enlarger, Judge, baseline_and_low, cases

PIXELS = IMAGES = 0.9
"""The promise of the uncertainty map: this share of pixels inside the bound on this share of pictures."""

BOUNDS = {"psnr": 0.35, "ssim": 0.001, "detail_precision": 0.68, "grid_index": 1.9}
"""What the sharpest admissible setting keeps: decibels and SSIM over bicubic, precision, and a grid index at most."""

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


def picture_factors(enlarge: Enlarger, data: Path, fidelity: float) -> list[tuple[str, float]]:
    """Return per picture the patient and the factor that covers `PIXELS` of its pixels, cubic degradation."""
    factors = []
    for name, stride in (("nih-256", 1), ("nih-512", 4)):
        for case in cases(data, name, stride):
            low, _ = baseline_and_low(case.high, "cubic")
            image, scale = enlarge(low, fidelity)
            ratio = np.abs(image.astype(np.float64) - case.high) / scale
            factors.append((case.patient, float(np.quantile(ratio, PIXELS))))
    return factors


def conformal_factor(factors: np.ndarray) -> float:
    """Return the split-conformal quantile: covers a new picture with probability `IMAGES`."""
    rank = min(int(np.ceil((len(factors) + 1) * IMAGES)), len(factors))
    return float(np.sort(factors)[rank - 1])


def cross_coverage(factors: list[tuple[str, float]], splits: int = 500, seed: int = 0) -> dict[str, float]:
    """Calibrate on half of the patients, test on the others, many times; return the share of covered pictures."""
    random = np.random.default_rng(seed)
    owners = np.array([owner for owner, _ in factors])
    values = np.array([value for _, value in factors])
    patients = np.unique(owners)
    coverages = []
    for _ in range(splits):
        half = random.permutation(patients)[: len(patients) // 2]
        inside = np.isin(owners, half)
        coverages.append(float((values[~inside] <= conformal_factor(values[inside])).mean()))
    low, high = np.quantile(coverages, (0.05, 0.95))
    return {"mean": float(np.mean(coverages)), "quantile_05": float(low), "quantile_95": float(high), "splits": splits}


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
    factors = picture_factors(enlarge, arguments.data, fidelity)
    result = {
        "default_fidelity": fidelity,
        **estimator,
        "dial": curve,
        "bounds": BOUNDS,
        "conformal": {
            "factor": conformal_factor(np.array([value for _, value in factors])),
            "pixels": PIXELS,
            "pictures": IMAGES,
            "number_of_pictures": len(factors),
            "number_of_patients": len({owner for owner, _ in factors}),
            "coverage": cross_coverage(factors),
        },
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
