"""Collect everything measured about an exported X-ray network into one file for its package and card.

``python -m export.facts_cxr --data DIR --model cxr-x4 --run DIR --network network.onnx --calibration calibration.json
--quality quality.json --out facts.json``
"""

import argparse
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from export import inspect_cxr
from export.data.degradations import downscale
from export.evaluation import cases, measurement_rms, paths
from export.models.cxr import MODELS
from export.recipes.cxr_settings import CHOSEN, RECIPES

TRAINING_DATA = {
    "name": "NIH ChestX-ray14, 632 frontal radiographs of 433 adult patients, reduced to 512 x 512 by 2 x 2 means",
    "provider": "NIH Clinical Center",
    "citation": "Wang et al., ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised "
    "Classification and Localization of Common Thorax Diseases, CVPR 2017",
    "link": "https://nihcc.app.box.com/v/ChestXray-NIHCC",
    "licence": "no restrictions on use; link the download site, cite the paper, acknowledge the NIH Clinical Center",
    "split": "by patient; validation 91 radiographs of 64 other patients; Hannover (CC BY 3.0) for validation only",
}
PERCEPTUAL_LOSS = "LPIPS v0.1 squeeze for training, LPIPS v0.1 alex for judging (Zhang et al. 2018, BSD-2-Clause)"
DEGRADATIONS = {
    "cubic": "cv2.resize INTER_CUBIC: a = -0.75, 4 taps, no antialiasing",
    "area": "cv2.resize INTER_AREA: mean of 4 x 4 pixels",
    "antialiased": "Pillow BICUBIC: a = -0.5, 16 taps, renormalised at the border",
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--run", type=Path, required=True, help="the recipe's --out folder")
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--quality", type=Path, nargs="+", required=True, help="files of evaluate_cxr, to be joined")
    parser.add_argument("--initial", default="", help="what the run began from, if not from random weights")
    parser.add_argument("--note", default="", help="what else happened during the training run")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    quality = {name: row for path in arguments.quality for name, row in json.loads(path.read_text()).items()}
    try:
        require_all_pictures(quality, arguments.data)
    except ValueError as error:
        parser.error(str(error))
    checkpoint = torch.load(arguments.run / "checkpoint.pt", weights_only=False)
    network = MODELS[arguments.model]()
    network.load_state_dict(checkpoint["averaged"])
    network.eval()
    calibration = json.loads(arguments.calibration.read_text())
    fidelity = calibration["default_fidelity"]
    facts: dict[str, Any] = {
        "name": arguments.model,
        "task": "super-resolution of frontal chest radiographs",
        "scale": 4,
        "channels": 1,
        "sha256": hashlib.sha256(arguments.network.read_bytes()).hexdigest(),
        "bytes": arguments.network.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "receptive_field_radius": inspect_cxr.receptive_field_radius(network),
        "effective_radius": effective_radii(network, arguments.data, fidelity),
        "default_fidelity": fidelity,
        "dial": calibration["dial"],
        "conformal": calibration["conformal"],
        "degradations": DEGRADATIONS,
        "estimator": calibration["estimator"],
        "confusions": calibration["confusions"],
        "blob_energy_left": {
            f"sigma {sigma} px": round(inspect_cxr.blob_energy_left(network, arguments.data, fidelity, sigma), 5)
            for sigma in (1, 2, 3, 4)
        },
        "truth_measurement_rms": truth_measurement_rms(arguments.data),
        "quality": quality,
        "training": {
            "data": TRAINING_DATA,
            "perceptual_loss": PERCEPTUAL_LOSS,
            "recipe": checkpoint["recipe"],
            "steps": checkpoint["step"],
            "command": command(arguments.model, checkpoint["recipe"], arguments.initial),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "note": arguments.note,
            "hardware": "2 CPU cores, float32",
            "torch": torch.__version__,
        },
    }
    arguments.out.write_text(json.dumps(facts, indent=1))
    print(
        json.dumps({k: v for k, v in facts.items() if k not in ("quality", "dial", "training", "estimator")}, indent=1)
    )


def command(model: str, used: dict[str, Any], initial: str) -> str:
    """Return the command line of a training run from the recipe that it used."""
    words = f"python -m export.recipes.cxr --data DIR --lpips DIR --out DIR --model {model}"
    for name in CHOSEN:
        if used[name] != getattr(RECIPES[model], name):
            words += f" --{name.replace('_', '-')} {used[name]}"
    return words + (f" --initial {initial}" if initial else "")


def require_all_pictures(quality: dict[str, Any], data: Path) -> None:
    """Raise ValueError where figures are of a part of the pictures: what is published is of all."""
    for title, groups in quality.items():
        name = title.rsplit(" ", 1)[0]
        measured, there = int(groups["all"]["count"]["pictures"]), len(paths(data, name))
        if measured != there:
            raise ValueError(f"{title}: measured on {measured} of {there} pictures; run evaluate_cxr without --stride")


def effective_radii(network: torch.nn.Module, data: Path, fidelity: float) -> dict[str, int]:
    """Return the overlap in input pixels beyond which a tile equals the whole, per tolerance; worst of 4 pictures."""
    pictures = [downscale(case.high, "cubic") for case in cases(data, "nih-512", 24)]
    return {
        f"{tolerance} grey levels": max(
            inspect_cxr.effective_radius(network, low, fidelity, tolerance) for low in pictures
        )
        for tolerance in (0.5, 0.05)
    }


def truth_measurement_rms(data: Path) -> float:
    """Return the measurement residual of the true pictures themselves: what rounding and clipping explain."""
    chosen = list(cases(data, "nih-256", 3))
    return round(sum(measurement_rms(case.high, downscale(case.high, "cubic")) for case in chosen) / len(chosen), 4)


if __name__ == "__main__":
    main()
