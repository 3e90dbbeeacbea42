"""Third-party super-resolution networks with published figures: built, loaded, exported to ONNX, run in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.models.imdn import Imdn
from export.models.rlfn import rlfn_ntire_x4, rlfn_s

_SAMPLE = (40, 48)


@dataclass(frozen=True)
class Published:
    """What the authors state, and where; ``psnr`` and ``ssim`` of Set5's luma, None where only others are stated."""

    psnr: float | None
    ssim: float | None
    statement: str
    source: str


@dataclass(frozen=True)
class Network:
    """A network, where its weights lie below the folder of weights, and the range [0, ``unit``] that it takes."""

    name: str
    build: Callable[[], nn.Module]
    weights: str
    scale: int
    unit: float
    published: Published

    def load(self, folder: Path) -> nn.Module:
        """Build the network with its published weights."""
        network = self.build()
        network.load_state_dict(torch.load(folder / self.weights, map_location="cpu", weights_only=True))
        return network.eval()


NETWORKS = (
    Network(
        "RLFN-S x2",
        partial(rlfn_s, 2),
        "rlfn/rlfn_s_x2.pth",
        2,
        255.0,
        Published(
            38.05,
            0.9607,
            "Set5 luma 38.05 dB / 0.9607",
            "Kong et al., CVPR Workshops 2022, arXiv 2205.07514 (second-hand)",
        ),
    ),
    Network(
        "RLFN-ntire x4",
        rlfn_ntire_x4,
        "rlfn/rlfn_ntire_x4.pth",
        4,
        255.0,
        Published(
            None,
            None,
            "LSDIR and DIV2K validation, RGB 26.96 dB, 0.317 M parameters",
            "github.com/Amazingren/NTIRE2024_ESR, README.md, baseline",
        ),
    ),
    Network(
        "IMDN (8 blocks) x4",
        Imdn,
        "imdn_baseline/imdn_baseline.pth",
        4,
        1.0,
        Published(
            None,
            None,
            "DIV2K validation, RGB 29.13 dB, 893,936 parameters",
            "github.com/ofsoundof/IMDN, README.md, NTIRE 2022 baseline",
        ),
    ),
)


def export(network: nn.Module, path: Path, *, unit: float) -> None:
    """Write an ONNX file (opset 17) with dynamic height and width that takes values in [0, ``unit``]."""
    axes = {"input": {2: "height", 3: "width"}, "output": {2: "large_height", 3: "large_width"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.full((1, 3, *_SAMPLE), unit / 2),),
            str(path),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def enlarge(network: nn.Module, picture: np.ndarray, *, unit: float) -> np.ndarray:
    """Enlarge uint8 RGB ``(H, W, 3)`` in PyTorch eager; return uint8."""
    values = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] * (unit / 255)
    with torch.inference_mode():
        result = network(values)[0].permute(1, 2, 0) * (255 / unit)
    return result.clamp(0, 255).round().to(torch.uint8).numpy()
