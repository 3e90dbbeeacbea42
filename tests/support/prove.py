"""One family from drawn weights to engines on the doubles: every step through the commands that a user has."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from edgesr.cli import main as edgesr
from edgesr.compile.dla import dla_share
from edgesr.compile.graph import Graph
from edgesr.compile.validate import takers
from edgesr.engines import open_backend
from edgesr.model import open_package
from edgesr.pipelines.restore import Restorer
from export.__main__ import main as export
from tests.engines.doubles import DoubleBackend
from tests.support.pictures import EXAMPLES
from tests.support.steps import DOUBLES, Said, built, called, write_weights

if TYPE_CHECKING:
    from tests.support.families import Family


def prove(family: Family, folder: Path, *, is_small: bool, say: Said = lambda text: None) -> dict[str, Any]:
    """Return what became of every step: ``ok`` and figures, or the error line that a user would read."""
    torch.manual_seed(0)
    network = family.build(is_small=is_small)
    parameters = write_weights(network, folder / "w.pth")
    picture = _pictures(folder)
    package = folder / "fp32.edgesr"
    tile = ["--tile", family.tile] if is_small and family.tile else []
    words = [*family.words, "--weights", str(folder / "w.pth"), "-o", str(package), *tile]
    rows: dict[str, Any] = {"title": family.title, "parameters": parameters, "sources": family.sources()}
    say("export")
    code, _, told = called(lambda: export(words))
    if code:
        return {**rows, "export": {"ok": False, "why": told}}
    opened = open_package(package)
    described = opened.descriptor
    parity = [row["relative"] for row in described.quality if row["set"] == "parity with PyTorch"]
    graph = Graph.read(opened.part_path("network"))
    rows["export"] = {
        "ok": True, "opset": graph.opset, "nodes": len(graph.nodes), "parity": max(parity),
        "fixed": list(described.size.fixed) if described.size.fixed else None,
    }  # fmt: skip
    rows["cpu"] = _run(package, picture, open_backend("cpu"))
    for kind in ("fp16", "int8"):
        say(kind)
        rows[kind] = built(package, folder / f"{kind}.edgesr", kind, folder / "calib", "--no-simplify")
    say("pictures at both ends")
    rows["embed_io"] = _embedded(package, folder / "pictures.edgesr")
    tile = opened.descriptor.size.fixed or (family.side, family.side)
    image = opened.descriptor.parts["network"].inputs["image"]
    rows["dla"] = {"ok": True, "tile": list(tile), **asdict(dla_share(graph, {image: (1, 3, *tile)}))}
    obstacles = takers(graph)
    for major, version in DOUBLES.items():
        say(f"double of TensorRT {version}")
        table = next(name for name in obstacles if version.startswith(name))
        rows[f"tensorrt_{major}"] = {"table": table, **_engine(folder, picture, version, obstacles[table])}
    return rows


def _run(package: Path, picture: Any, backend: Any) -> dict[str, Any]:
    with Restorer(open_package(package), backend) as restorer:
        result = restorer(picture)
        scale = restorer.scale
    is_right = result.shape == (picture.shape[0] * scale, picture.shape[1] * scale, 3) and float(result.std()) > 1
    return {"ok": bool(is_right)}


def _embedded(package: Path, output: Path) -> dict[str, Any]:
    words = ["build", str(package), "--embed-io", "--target", "onnx", "--no-simplify", "-o", str(output), "--json"]
    code, _, told = called(lambda: edgesr([*words, "--calib", str(package.parent / "calib")]))
    return {"ok": not code} | ({"why": told} if code else {})


def _engine(folder: Path, picture: Any, version: str, obstacle: str) -> dict[str, Any]:
    """Build and run the FP16 network, else FP32, on a double and compare its pixels with the CPU's."""
    if obstacle:
        return {"ok": False, "why": obstacle}
    package = folder / "fp16.edgesr"
    opened = open_package(package if package.exists() else folder / "fp32.edgesr")
    if opened.descriptor.size.fixed is None:  # tiles of one size, as engines of packages have them
        side = picture.shape[0]
        opened = replace(
            opened, descriptor=replace(opened.descriptor, size=replace(opened.descriptor.size, fixed=(side, side)))
        )
    backend = DoubleBackend(version)
    network = folder / f"{version}.onnx"  # the double keeps its plan beside it
    network.write_bytes(opened.part_path("network").read_bytes())
    with (
        Restorer(opened, open_backend("cpu", threads=1)) as cpu,
        Restorer(opened, backend, network=network) as engine,
    ):
        same = bool(np.array_equal(cpu(picture), engine(picture)))
    backend.check()
    return {"ok": same, "precision": opened.descriptor.precision["kind"] if opened.descriptor.precision else "fp32"}


def _pictures(folder: Path) -> Any:
    """Write a calibration picture and return one of 32 x 32 pixels to run."""
    (folder / "calib").mkdir()
    with Image.open(EXAMPLES / "astronaut.png") as image:
        colors = image.convert("RGB")
    colors.resize((64, 64), Image.Resampling.BICUBIC).save(folder / "calib" / "astronaut.png")
    return np.asarray(colors.resize((32, 32), Image.Resampling.BICUBIC))
