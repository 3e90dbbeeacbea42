"""LPIPS as one ONNX file for ``edgesr tune --lpips``: ``python -m export.graph_lpips --weights weights/lpips -o F``."""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from export.lpips import Lpips

OPSET = 17


class PairDistance(nn.Module):
    """The distance of two pictures ``(1, 3, H, W)`` in [-1, 1], grey in three equal channels or colour."""

    def __init__(self, network: str, folder: Path) -> None:
        super().__init__()
        self.lpips = Lpips(network, folder)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the distance ``(1,)``."""
        distance: Tensor = self.lpips((image + 1) / 2, (reference + 1) / 2)
        return distance


def main(argv: list[str] | None = None) -> None:
    """Export and print where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder of lpips_NETWORK_state_dict.pt")
    parser.add_argument("--network", choices=("alex", "squeeze"), default="alex")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    example = torch.zeros(1, 3, 64, 64)
    torch.onnx.export(
        PairDistance(arguments.network, arguments.weights).eval(), (example, example), str(arguments.out),
        input_names=["image", "reference"], output_names=["distance"], opset_version=OPSET, dynamo=False,
        dynamic_axes={name: {2: "height", 3: "width"} for name in ("image", "reference")},
    )  # fmt: skip
    print(arguments.out)


if __name__ == "__main__":
    main()
