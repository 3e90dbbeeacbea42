"""Each network in every precision on the CPU: how far its pictures are from those of FP32, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesr.compile.artifact import gate_record
from edgesr.compile.auto import Search
from edgesr.compile.emulate import emulated
from edgesr.compile.gate import DEFAULTS, Thresholds, Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.tensors import TensorProof, tensor_feeds
from edgesr.compile.typed import Options, Precision, Typed
from edgesr.errors import ModelError
from edgesr.model import ModelPackage, describe_onnx, open_package
from edgesr.model.registry import find
from edgesr.model.rules import NETWORK
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.load import cpu_probe

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "int8-fp16")


@dataclass(frozen=True)
class Network:
    """One network with the pictures that it is calibrated on and the others that it is compared on."""

    name: str
    graph: Graph
    package: ModelPackage | None
    calibration: PictureProof | TensorProof
    proof: PictureProof | TensorProof
    told: str


@dataclass(frozen=True)
class Row:
    """One network in one precision."""

    network: str
    precision: str
    nodes: dict[str, int]
    """Nodes by what they compute in."""
    bytes: int
    """Of the ONNX file."""
    share: float
    """Of the multiply-adds that are not in FP32."""
    against_fp32: dict[str, Any]
    """With FP16 rounded as it is stored."""
    in_onnxruntime: dict[str, Any]
    """As ONNX Runtime computes the file on this CPU."""
    within_gate: bool
    kept_out: int
    """Layers that were left out of INT8, or of FP16, to pass the gate."""
    note: str = ""


def open_network(model: str, images: Path | None, count: int) -> Network:
    """Open a model by name or file; with ``images`` every other picture calibrates and the rest compares."""
    path = find(model)
    try:
        package = describe_onnx(path, probe=cpu_probe) if path.suffix == ".onnx" else open_package(path)
    except ModelError:
        graph = Graph.read(path)
        feeds, told = tensor_feeds(graph, images, count)
        proof = TensorProof(graph, feeds)
        return Network(path.stem, graph, None, proof, proof, told)
    graph = Graph.read(package.part_path(NETWORK), source=model)
    pictures, told = calibration_pictures(package, images, count=count)
    with_settings = [picture for picture in pictures if picture.settings]
    plain = [picture for picture in pictures if not picture.settings]
    if len(plain) < 4:
        proof = PictureProof(package, pictures)
        return Network(package.descriptor.name, graph, package, proof, proof, f"{told}, for both")
    # What the settings vary is the first picture: it belongs to those that calibrate.
    calibration = PictureProof(package, [*plain[::2], *with_settings])
    proof = PictureProof(package, [*plain[1::2], *(replace(it, pixels=plain[1].pixels) for it in with_settings)])
    told = f"{told}: {len(plain[::2])} calibrate, the other {len(plain[1::2])} compare"
    return Network(package.descriptor.name, graph, package, calibration, proof, told)


def typed_networks(network: Network, precisions: Sequence[Precision] = PRECISIONS) -> list[tuple[Row, Typed | None]]:
    """Convert a network to every precision and compare; one that cannot be made has a note instead."""
    graph, _ = simplify(network.graph, network.calibration.feeds[:2])
    ranges = record_ranges(graph, network.calibration.feeds)
    found: list[tuple[Row, Typed | None]] = []
    for precision in precisions:
        thresholds = _thresholds(network, precision)
        search = Search(
            graph,
            ranges,
            network.calibration.feeds,
            Options(),
            evaluate=lambda it, only=None: _compare(network, it, emulated(it.graph), only),
            thresholds=thresholds,
        )
        try:
            choice = search.mixed(precision)
        except ModelError as error:
            found.append((Row(network.name, precision, {}, 0, 0.0, {}, {}, False, 0, str(error)), None))
            continue
        typed, verdict = choice.typed, choice.verdict
        as_run = _compare(network, typed, typed.graph)
        kinds = typed.precisions()
        counts = {"fp32": len(typed.graph.nodes) - len(kinds)}
        counts |= {kind: list(kinds.values()).count(kind) for kind in ("fp16", "int8") if kind in kinds.values()}
        row = Row(
            network.name,
            precision,
            counts,
            len(typed.graph.bytes()),
            _share(typed),
            gate_record(verdict),
            gate_record(as_run),
            not verdict.failures(thresholds),
            len(choice.given_up),
        )
        found.append((row, typed))
    return found


def _share(typed: Typed) -> float:
    shares = [report.share for report in (typed.half, typed.quantized) if report is not None]
    return max(shares, default=0.0)


def _compare(network: Network, typed: Typed, graph: Graph, only: str | None = None) -> Verdict:
    if isinstance(network.proof, TensorProof):
        return network.proof.compare(graph)
    return network.proof.compare(replace(typed, graph=graph), only)


def _thresholds(network: Network, precision: Precision) -> Thresholds:
    start = DEFAULTS["int8" if "int8" in precision else precision]
    return replace(start, min_ssim=None) if network.package is None else start
