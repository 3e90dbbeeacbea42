"""Export a trained X-ray network: ``python -m export.graph_cxr --model cxr-x4 --weights weights.pt --out DIR``."""

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession

from export.graph_writing import write_graph
from export.models.cxr import MODELS, CxrSuperResolution
from export.weights_cxr import load_weights

INPUTS = ("image", "fidelity", "degradation", "consistency", "quantum")
OUTPUTS = ("upscaled", "scale")


def export(network: CxrSuperResolution, path: Path) -> onnx.ModelProto:
    """Write the whole graph, consistency included, with dynamic batch, height and width; return the checked model."""
    network = network.eval().to(memory_format=torch.contiguous_format)
    image = torch.rand(1, 1, 24, 20)
    dials = torch.tensor([0.5]), torch.full((3,), 1 / 3), torch.ones(1), torch.tensor([1 / 255])
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("image",)}
    axes |= {name: {0: "batch", 2: "height_x4", 3: "width_x4"} for name in OUTPUTS}
    inputs = dict(zip(INPUTS, (image, *dials), strict=True))
    return write_graph(network, inputs, OUTPUTS, axes, path)


def run(
    session: InferenceSession, image: np.ndarray, **dials: float | tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Run the exported graph on a picture ``(H, W)`` in [0, 1]; return ``upscaled`` and ``scale``, ``(4H, 4W)``.

    The downscaler is cubic unless ``degradation`` says otherwise.
    """
    values = {"fidelity": 1.0, "degradation": (1.0, 0.0, 0.0), "consistency": 1.0, "quantum": 1 / 255} | dials
    feeds = {name: np.atleast_1d(np.asarray(value, np.float32)) for name, value in values.items()}
    upscaled, scale = session.run(OUTPUTS, {"image": image.astype(np.float32)[None, None], **feeds})
    return upscaled[0, 0], scale[0, 0]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument(
        "--weights", nargs="+", required=True, help="weights.pt or checkpoint.pt of a run, or a package; several: mean"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for network.onnx")
    arguments = parser.parse_args()
    network = MODELS[arguments.model]()
    try:
        load_weights(network, *arguments.weights)
    except ValueError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = export(network, arguments.out / "network.onnx")
    size = (arguments.out / "network.onnx").stat().st_size
    print(f"{arguments.out / 'network.onnx'}: {len(model.graph.node)} nodes, {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
