"""Make the package of a latent diffusion for radiographs from its graphs and measured facts.

``python -m export.pack_diffusion --onnx DIR --calibration calibration.json --data DIR --out cxr-x4-diffusion.edgesr``.
``DIR`` is what ``export.graph_diffusion`` wrote; ``--scores`` is a file of ``export.score_diffusion``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from edgesr.pipelines.pack_diffusion import DiffusionFiles, Said, pack_diffusion
from export.convention_cxr import limits
from export.facts_cxr import PERCEPTUAL_LOSS, TRAINING_DATA
from export.pack_cxr import INTENDED_USE

NAME = "cxr-x4-diffusion"
LARGEST = 12_000_000
"""Bytes of the package."""
TILE = 64
"""Side, in pixels of the small picture, of what the U-Net walks at once: twice the crops of training."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True, help="file of export.calibrate_diffusion")
    parser.add_argument("--scores", type=Path, help="file of export.score_diffusion")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1, help="network evaluations by default")
    parser.add_argument("--version", default="1.1.0")
    arguments = parser.parse_args()
    calibration = json.loads(arguments.calibration.read_text())
    scores = json.loads(arguments.scores.read_text()) if arguments.scores else {}
    folder = arguments.onnx
    files = DiffusionFiles(
        folder / "unet.onnx", folder / "decoder.onnx", folder / "scheduler_config.json", folder / "encoder.onnx"
    )
    said = Said(scale=4, trained_size=TILE, latent_scale=1.0, degradation="cubic", steps=arguments.steps)
    fields = overrides(calibration, scores, limits(arguments.data))
    package = pack_diffusion(files, arguments.out, name=NAME, version=arguments.version, said=said, overrides=fields)
    size = arguments.out.stat().st_size
    if size >= LARGEST:
        raise SystemExit(f"{arguments.out}: {size} bytes, more than {LARGEST}")
    print(f"{arguments.out}: {size / 1e6:.2f} MB, {package.descriptor.name}")


def overrides(calibration: dict[str, Any], scores: dict[str, Any], sharpness: dict[str, float]) -> dict[str, Any]:
    """Return what model.json says beyond the ONNX files; ``sharpness`` is that of the softest training picture."""
    return {
        "diffusion": {"projection": calibration["projection"]},
        "uncertainty": {
            "factor": round(calibration["factor"], 4),
            "coverage": 0.9,
            "calibrated_on": f"{calibration['pictures']} NIH ChestX-ray14 pictures of {calibration['patients']} "
            f"patients outside training, {calibration['samples']} samples each, cv2 cubic input",
            "link": calibration["link"],
            "noise": calibration["noise"],
        },
        "degradation": {"kernel": "cubic", "rounded": True, "sharpness": sharpness},
        "description": "Chest X-rays four times larger by latent diffusion in one to four network evaluations, begun "
        "from the mean of cxr-x4, with data consistency and an error bound.",
        "licence": "Apache-2.0",
        "intended_use": INTENDED_USE,
        "training_data": f"{TRAINING_DATA['name']}. Provider: {TRAINING_DATA['provider']}, {TRAINING_DATA['link']}. "
        f"{TRAINING_DATA['citation']}. {PERCEPTUAL_LOSS}.",
        "quality": [
            {"set": group, "method": method, "pictures": found["pictures"]} | row
            for group, found in scores.get("sets", {}).items()
            for method, row in found["methods"].items()
        ],
    }


if __name__ == "__main__":
    main()
