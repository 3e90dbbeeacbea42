"""Latent diffusion of the paper's U-Net with drawn weights, begun from the mean of a shipped network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgesr.cli import main as edgesr
from edgesr.compile.graph import Graph
from edgesr.compile.validate import takers
from edgesr.errors import EdgesrError
from edgesr.model import open_package
from edgesr.pipelines.load import load
from export import graph_diffusion
from export.models.autoencoder import GreyAutoencoder, klt
from export.models.cascade import MeanEnlarger
from export.models.unet_lite import UNetLite
from export.recipes.latent_stages import FEW_STEP_SCHEDULE
from tests.support.pictures import crops, write_crops
from tests.support.steps import DOUBLES, Rows, Said, built, called, digest, on_double

_CHANNELS, _SIDE = 8, 32


@dataclass(frozen=True)
class DiffusionFamily:
    """Encoder, U-Net and decoder, and the steps between them."""

    title: str
    steps: int

    def sources(self) -> str:
        """Return the sha256 of the architectures and of what writes their graphs."""
        return digest(("graph_diffusion.py", "models/autoencoder.py", "models/cascade.py", "models/unet_lite.py"))

    def prove(self, folder: Path, *, is_small: bool = False, say: Said = lambda text: None) -> dict[str, Any]:
        """Write the graphs, pack and measure them; there is no small network."""
        rows: Rows = {"title": self.title, "sources": self.sources()}
        package = folder / "fp32.edgesr"
        say("export")
        rows["parameters"], parity = _graphs(folder)
        words = ["--encoder", "encoder.onnx", "--unet", "unet.onnx", "--decoder", "decoder.onnx"]
        files = [word if word.startswith("-") else str(folder / word) for word in words]
        rest = ["--schedule", str(folder / "scheduler_config.json"), "--scale", "4", "--trained-size", "64"]
        rest += ["--latent-scale", "1", "--degradation", "cubic", "--steps", str(self.steps), "-o", str(package)]
        code, _, told = called(lambda: edgesr(["pack", *files, *rest]))
        if code:
            return {**rows, "export": {"ok": False, "why": told}}
        opened = open_package(package)
        graphs = [Graph.read(opened.part_path(part)) for part in opened.descriptor.parts]
        rows["export"] = {
            "ok": True, "opset": max(graph.opset for graph in graphs), "parity": parity, "fixed": None,
            "nodes": sum(len(graph.nodes) for graph in graphs),
        }  # fmt: skip
        picture = _grey(crops(_SIDE, 2)[1])
        with load(package, "cpu") as pipeline:
            result = pipeline(picture)
        rows["cpu"] = {"ok": result.shape[:2] == (4 * _SIDE, 4 * _SIDE) and float(result.std()) > 1}
        calibration = write_crops(folder / "calib", _SIDE, 4)
        for kind in ("fp16", "int8"):
            say(kind)
            rows[kind] = built(package, folder / f"{kind}.edgesr", kind, calibration)
        obstacles = [takers(graph) for graph in graphs]
        for major, version in DOUBLES.items():
            say(f"double of TensorRT {version}")
            table = next(name for name in obstacles[0] if version.startswith(name))
            why = next((it[table] for it in obstacles if it[table]), "")
            rows[f"tensorrt_{major}"] = {"table": table, **_engines(folder, picture, version, why)}
        return rows


def _graphs(folder: Path) -> tuple[int, float]:
    """Write graphs and schedule; return the number of parameters and the largest difference from PyTorch."""
    torch.manual_seed(0)
    pictures = [_grey(pixels) for pixels in crops(256, 4)]
    autoencoder = GreyAutoencoder(_CHANNELS)
    autoencoder.begin(*klt(pictures))
    unet = UNetLite(_CHANNELS, predicts_x0=True)
    for parameter in unet.parameters():
        if not parameter.detach().any():  # what training begins at zero
            torch.nn.init.normal_(parameter, 0, 0.02)
    mean = MeanEnlarger("cxr-x4-fast").eval().requires_grad_(False)
    parts = graph_diffusion.parts(autoencoder.eval(), unet, mean, pictures[1])
    worst = max(graph_diffusion.export(part, folder / f"{name}.onnx") for name, part in parts.items())
    (folder / "scheduler_config.json").write_text(json.dumps(FEW_STEP_SCHEDULE))
    return sum(p.numel() for part in parts.values() for p in part.network.parameters()), worst


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., 1])


def _engines(folder: Path, picture: np.ndarray, version: str, obstacle: str) -> Rows:
    if obstacle:
        return {"ok": False, "why": obstacle}
    package = folder / "fp16.edgesr"
    package = package if package.exists() else folder / "fp32.edgesr"

    def is_close(engine: Any, cpu: Any) -> bool:
        return int(np.abs(engine(picture).astype(int) - cpu(picture)).max()) <= 1

    try:
        same = on_double(package, version, folder, is_close)
    except EdgesrError as error:
        return {"ok": False, "why": str(error)}
    return {"ok": same, "precision": package.stem}


DIFFUSIONS = {"diffusion": DiffusionFamily("latent diffusion x4, U-Net-lite, 3 steps", 3)}
"""Encoder, U-Net and decoder of ``export.graph_diffusion``."""
