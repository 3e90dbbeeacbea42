"""Families that label pictures, alone or behind a restoration, from packages to engines on the doubles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgesr.compile.dla import dla_share
from edgesr.compile.graph import Graph
from edgesr.compile.operations import count_operations
from edgesr.compile.validate import takers
from edgesr.errors import EdgesrError
from edgesr.model import ModelPackage, open_package
from edgesr.model.chain import stages
from edgesr.pipelines.label_profile import canvas
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.load import load
from tests.support.pictures import crops, write_crops
from tests.support.steps import DOUBLES, Rows, Said, built, on_double


def prove_labels(
    rows: Rows, package: Path, folder: Path, *, side: int, agreement: float | None = None, say: Said
) -> Rows:
    """Return ``rows`` with what became of every step of a package; calibration pictures have ``side`` pixels.

    ``agreement`` takes the place of the limit that ``edgesr build`` has.
    """
    parts = _parts(package)
    graphs = [Graph.read(one.part_path(name)) for one in parts for name in one.descriptor.parts]
    relative = [row["relative"] for one in parts for row in one.descriptor.quality if "relative" in row]
    rows["export"] = {
        "ok": True,
        "opset": max(graph.opset for graph in graphs),
        "nodes": sum(len(graph.nodes) for graph in graphs),
        "parity": max(relative) if relative else None,
        "fixed": _fixed(parts),
    }
    picture = crops(side, 2)[1]
    say("cpu")
    rows["cpu"] = _run(package, picture)
    is_classifier = parts[-1].descriptor.task == "classify"
    calibration = write_crops(folder / "calib", side, 8 if is_classifier and len(parts) == 1 else 4)
    limit = [] if agreement is None else ["--min-agreement", str(agreement)]
    for kind in ("fp16", "int8"):
        say(kind)
        rows[kind] = built(package, folder / f"{kind}.edgesr", kind, calibration, *limit)
    rows["dla"] = _dla(parts)
    obstacles = [takers(graph) for graph in graphs]
    for major, version in DOUBLES.items():
        say(f"double of TensorRT {version}")
        table = next(name for name in obstacles[0] if version.startswith(name))
        obstacle = next((it[table] for it in obstacles if it[table]), "")
        rows[f"tensorrt_{major}"] = {"table": table, **_engines(folder, picture, version, obstacle)}
    return rows


def _parts(package: Path) -> Sequence[ModelPackage]:
    opened = open_package(package)
    return stages(opened) if opened.descriptor.task == "chain" else (opened,)


def _fixed(parts: Sequence[ModelPackage]) -> list[int] | None:
    """Return the size of the picture that the last network sees, or that a fused graph takes."""
    found = canvas(parts[-1].descriptor)
    return list(found) if found else None


def _run(package: Path, picture: np.ndarray) -> Rows:
    with load(package, "cpu") as label:
        found: LabelResult = label(picture)
    return {"ok": bool(next(iter(found.predictions().values())))}


def _engines(folder: Path, picture: np.ndarray, version: str, obstacle: str) -> Rows:
    """Compile the FP16 networks, else FP32, on a double and compare what they say with the CPU."""
    if obstacle:
        return {"ok": False, "why": obstacle}
    package = folder / "fp16.edgesr"
    package = package if package.exists() else folder / "fp32.edgesr"
    try:
        same = on_double(package, version, folder, lambda engine, cpu: _same(engine(picture), cpu(picture)))
    except EdgesrError as error:
        return {"ok": False, "why": str(error)}
    return {"ok": same, "precision": package.stem}


def _same(found: LabelResult, expected: LabelResult) -> bool:
    return found.predictions() == expected.predictions()


def _dla(parts: Sequence[ModelPackage]) -> Rows:
    """Add up the rules over all networks, each at the size that it is compiled for."""
    layers, taken, products, reasons = 0, 0, 0.0, dict[str, int]()
    total, sides = 0, (64, 64)
    for one in parts:
        for name, part in one.descriptor.parts.items():
            graph = Graph.read(one.part_path(name))
            sides = one.descriptor.size.fixed or canvas(one.descriptor) or (64, 64)
            shapes = {
                tensor: (1, 3, *sides) if role == "image" else tuple(max(n, 1) for n in graph.shapes[tensor])
                for role, tensor in part.inputs.items()
            }
            found = dla_share(graph, shapes)
            own = sum(node.products for node in count_operations(graph, shapes).nodes)
            layers, taken = layers + found.layers, taken + found.taken
            products, total = products + found.share * own, total + own
            for reason, count in found.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
    share = products / total if total else 0.0
    return {"ok": True, "tile": list(sides), "layers": layers, "taken": taken, "share": share, "reasons": reasons}
