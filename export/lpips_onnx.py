"""The perceptual distance LPIPS as one ONNX file, for ``--lpips`` of the commands that measure quality."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from edgesr.bench.metrics.lpips import INPUTS, OUTPUT
from edgesr.errors import BuildError, ModelError, UsageError
from edgesr.model.atomic import replacing, saying_why
from export.exporting.onnx_graph import silence
from export.exporting.parity import PICTURES, read_picture
from export.lpips import NETWORKS, Lpips
from export.say import say

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference from PyTorch."""
_SIZES = ((64, 64), (97, 130))


class Distance(nn.Module):
    """LPIPS of two colour batches ``(N, 3, H, W)`` in [0, 1] with everything inside the graph."""

    def __init__(self, lpips: Lpips) -> None:
        super().__init__()
        self.lpips = lpips

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the distance ``(N,)``."""
        return self.lpips(image, reference)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="with lpips_NET_state_dict.pt")
    parser.add_argument("--net", choices=NETWORKS, default="alex", help="backbone (default: alex, as papers report)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx", help="file to write")


def execute(arguments: argparse.Namespace) -> None:
    """Export, compare with PyTorch on pictures, write; print the path."""
    if arguments.output.suffix != ".onnx":
        raise UsageError(f"-o {arguments.output}: must end in .onnx")
    lpips = load_lpips(arguments.net, arguments.weights)
    model = export_lpips(lpips, arguments.net)
    worst = largest_difference(model, lpips)
    say(f"LPIPS v0.1 {arguments.net}: differs from PyTorch by at most {worst:.2g}")
    with saying_why(arguments.output), replacing(arguments.output) as file:
        file.write(model.SerializeToString())
    print(arguments.output)


def load_lpips(net: str, folder: Path) -> Lpips:
    """Read the weights; raise ModelError for a file that is missing or of something else."""
    try:
        return Lpips(net, folder).eval()
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename}: there is no such file; give the folder that holds it") from None
    except Exception as error:  # torch.load and load_state_dict raise many kinds
        raise ModelError(f"{folder}: holds no LPIPS weights of {net}: {' '.join(str(error).split())[:200]}") from None


def export_lpips(lpips: Lpips, net: str) -> onnx.ModelProto:
    """Return the graph: ``image`` and ``reference`` ``(batch, 3, height, width)`` in [0, 1] to ``distance``."""
    batch, rows, columns = (
        torch.export.Dim(name, min=low) for name, low in (("batch", 1), ("rows", 32), ("columns", 32))
    )
    shape = {0: batch, 2: rows, 3: columns}
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder, silence():
        path = Path(folder) / "lpips.onnx"
        sample = torch.rand(2, 2, 3, 71, 83, generator=torch.Generator().manual_seed(0))
        program = torch.onnx.export(
            Distance(lpips),
            (sample[0], sample[1]),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes=(shape, shape),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,  # its passes take the 1e-10 that keeps 0 / 0 out of dark regions for nothing and drop it
        )
        program.save(str(path))
        model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"edgesr.metric": f"LPIPS v0.1 {net}"})
    model.producer_name, model.doc_string = "edgesr", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def largest_difference(model: onnx.ModelProto, lpips: Lpips) -> float:
    """Return how far the graph is from PyTorch on pictures of two sizes; raise BuildError beyond the tolerance."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in _SIZES:
        first, second = (read_picture(name, size, 3) for name in PICTURES)
        dark = first.clone()
        dark[..., : size[1] // 2] = 0
        for other in (second, (first + 0.02).clamp(0, 1), first, dark, torch.zeros_like(first)):
            (found,) = session.run(None, dict(zip(INPUTS, (first.numpy(), other.numpy()), strict=True)))
            with torch.no_grad():
                difference = float(np.abs(found - lpips(first, other).numpy()).max())
            if not difference <= TOLERANCE:
                raise BuildError(f"the graph differs from PyTorch by {difference:.3g}, more than {TOLERANCE:g}")
            worst = max(worst, difference)
    return worst
