"""Make the model package of an exported X-ray network from its measured facts.

``python -m export.pack_cxr --data DIR --network network.onnx --facts facts.json --out cxr-x4.edgesr``
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2

from edgesr.model.packing import pack
from export.convention_cxr import limits
from export.data.degradations import downscale
from export.evaluation import Enlarger, cases
from export.graph_cxr import INPUTS
from export.models.resample import DEGRADATIONS

INTENDED_USE = (
    "Research on super-resolution of frontal chest radiographs. Not a medical device; not for diagnosis. Generated "
    "detail is not a measurement. TensorRT's licence excludes medical use without an agreement."
)
TILES = {"cxr-x4": 416, "cxr-x4-fast": 448}
"""Tile sides in pixels that keep ONNX Runtime's activations under 350 MiB."""
GOLDEN = 12
"""Position, in the validation set, of the picture whose input and output travel with the package."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default="1.0.0")
    arguments = parser.parse_args()
    facts = json.loads(arguments.facts.read_text())
    low = downscale(list(cases(arguments.data, "nih-256"))[GOLDEN].high, "cubic")
    high, _ = Enlarger(arguments.network, facts["estimator"])(low, facts["default_fidelity"])
    with tempfile.TemporaryDirectory() as folder:
        golden = {role: Path(folder) / f"{role}.png" for role in ("input", "output")}
        cv2.imwrite(str(golden["input"]), low)
        cv2.imwrite(str(golden["output"]), high)
        package = pack(
            arguments.network,
            arguments.out,
            name=facts["name"],
            version=arguments.version,
            overrides=overrides(facts, limits(arguments.data)),
            golden=golden,
        )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 2**20:.2f} MiB, {package.descriptor.name}")


def overrides(facts: dict[str, Any], sharpness: dict[str, float]) -> dict[str, Any]:
    """Return what model.json says beyond the ONNX file; ``sharpness`` is that of the softest training picture."""
    conformal, training = facts["conformal"], facts["training"]
    roles = {name: name for name in INPUTS}
    return {
        "task": "restore",
        "scale": facts["scale"],
        "input_channels": 1,
        "output_channels": 1,
        "input": {"color": "grey", "layout": "NCHW", "dtype": "float32", "range": [0.0, 1.0]},
        "output_range": [0.0, 1.0],
        "receptive_field": facts["receptive_field_radius"],
        "tile": TILES[facts["name"]],
        "parts": {"network": {"inputs": roles, "outputs": {"image": "upscaled", "scale": "scale"}}},
        "controls": controls(facts["default_fidelity"]),
        "uncertainty": {
            "factor": round(conformal["factor"], 4),
            "coverage": conformal["pixels"],
            "calibrated_on": f"{conformal['number_of_pictures']} NIH ChestX-ray14 pictures of "
            f"{conformal['number_of_patients']} patients outside training, each made small "
            f"by {', '.join(DEGRADATIONS)}, at the default fidelity",
            "noise": conformal["noise"],
        },
        "degradation": {
            "kernel": "cubic",
            "also": [name for name in DEGRADATIONS if name != "cubic"],
            "rounded": True,
            "sharpness": sharpness,
            "estimator": facts["estimator"],
        },
        "description": f"Chest X-rays four times larger: {facts['parameters']:,} parameters, a fidelity dial, "
        "data consistency and an error bound in the graph.",
        "licence": "Apache-2.0",
        "intended_use": INTENDED_USE,
        "training_data": f"{training['data']['name']}. Provider: {training['data']['provider']}, "
        f"{training['data']['link']}. {training['data']['citation']}. {training['perceptual_loss']}.",
        "quality": quality_rows(facts["quality"]),
    }


def quality_rows(quality: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what model.json says of the quality: a row per set and method, over all its pictures."""
    return [
        {"set": name, "group": "all", "method": method, "pictures": groups["all"]["count"]["pictures"]} | row
        for name, groups in quality.items()
        for method, row in groups["all"].items()
        if method != "count"
    ]


def controls(default_fidelity: float) -> dict[str, Any]:
    """Return the dials a user may set."""
    pure = {name: [float(name == other) for other in DEGRADATIONS] for name in DEGRADATIONS}
    return {
        "fidelity": {
            "default": [default_fidelity],
            "minimum": 0.0,
            "maximum": 1.0,
            "description": "1 = the mean, highest PSNR; 0 = sharpest",
        },
        "degradation": {
            "default": pure["cubic"],
            "minimum": 0.0,
            "maximum": 1.0,
            "choices": pure,
            "estimated": True,
            "description": "shares of the downscalers that may have made the input; auto finds them from the picture",
        },
        "consistency": {
            "default": [1.0],
            "minimum": 0.0,
            "maximum": 1.0,
            "description": "how strongly the result must agree with the input pixels: 0 = off, 1 = full",
        },
    }


if __name__ == "__main__":
    main()
