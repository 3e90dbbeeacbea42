"""Measure an exported X-ray graph on held-out patients and another institution, with bicubic beside it.

``python -m export.evaluate_cxr --data DIR --lpips DIR --network network.onnx --calibration calibration.json
--out quality.json``
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from export import metrics
from export.evaluation import SETS, Case, Enlarger, Judge, baseline_and_low, cases

Row = dict[str, float]


def picture_rows(
    enlarge: Enlarger, judge: Judge, case: Case, degradation: str, *, dial: dict[str, float], factor: float
) -> dict[str, Row]:
    """Score one picture: bicubic and every setting of the dial, by name."""
    low, base = baseline_and_low(case.high, degradation)
    rows = {"bicubic": judge.scores(base, base, low, case.high)}
    for name, fidelity in dial.items():
        image, scale = enlarge(low, fidelity)
        error = np.abs(image.astype(np.float64) - case.high)
        rows[name] = judge.scores(image, base, low, case.high) | {
            "scale_rank_correlation": metrics.block_rank_correlation(scale, error),
            "pixels_inside": float((error <= factor * scale).mean()),
        }
    return rows


def summarise(measured: list[tuple[Case, dict[str, Row]]], promised: float = 0.9) -> dict[str, dict[str, Row]]:
    """Return means per group of pictures: all, and each view and sex that occurs."""
    groups = {"all": measured}
    for case, rows in measured:
        for label in filter(None, (case.view, case.sex)):
            groups.setdefault(label, []).append((case, rows))
    return {group: _group_means([rows for _, rows in members], promised) for group, members in groups.items()}


def _group_means(pictures: list[dict[str, Row]], promised: float) -> dict[str, Row]:
    means: dict[str, Row] = {"count": {"pictures": len(pictures)}}
    for method in pictures[0]:
        rows = [picture[method] for picture in pictures]
        means[method] = {name: round(float(np.mean([row[name] for row in rows])), 5) for name in rows[0]}
        if "pixels_inside" in rows[0]:
            means[method]["pictures_inside"] = round(float(np.mean([r["pixels_inside"] >= promised for r in rows])), 5)
        if method != "bicubic":
            bicubic = means["bicubic"]
            means[method]["psnr_gain"] = round(means[method]["psnr"] - bicubic["psnr"], 5)
            means[method]["ssim_gain"] = round(means[method]["ssim"] - bicubic["ssim"], 5)
            if "lpips" in bicubic:
                means[method]["lpips_ratio"] = round(means[method]["lpips"] / bicubic["lpips"], 5)
    return means


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS), help="measure only these")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stride", type=int, default=1, help="use every n-th picture, for a quick look")
    arguments = parser.parse_args()
    calibration = json.loads(arguments.calibration.read_text())
    conformal = calibration["conformal"]
    dial = {"fidelity 1": 1.0, "default": calibration["default_fidelity"], "fidelity 0": 0.0}
    torch.set_num_threads(arguments.threads)
    enlarge = Enlarger(arguments.network, calibration["estimator"], arguments.threads, conformal["noise"])
    with_lpips, without = Judge(arguments.lpips), Judge(None)
    result: dict[str, dict[str, dict[str, Row]]] = {}
    for name in arguments.sets:
        chosen = SETS[name]
        for degradation in chosen.degradations:
            judge = with_lpips if chosen.side else without
            measured = [
                (case, picture_rows(enlarge, judge, case, degradation, dial=dial, factor=conformal["factor"]))
                for case in cases(arguments.data, name, arguments.stride)
            ]
            result[f"{name} {degradation}"] = summarise(measured)
            overall = result[f"{name} {degradation}"]["all"]
            for method, row in overall.items():
                print(f"{name} {degradation} {method}: " + " ".join(f"{k}={v:.4g}" for k, v in row.items()), flush=True)
    arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
