"""INT8 as explicit quantize/dequantize pairs, in the one form that every TensorRT takes.

Symmetric, zero point 0, int8; weights per output channel (axis 0 of Conv, 1 of ConvTranspose), activations per
tensor; biases stay as they are. onnx-tensorrt, docs/operators.md; NVIDIA Model Optimizer, onnx/quantization.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgesr.compile.graph import FLOAT, Graph
from edgesr.compile.histogram import CALIBRATORS
from edgesr.compile.islands import LOSES, is_heavy, settings_nodes
from edgesr.compile.nodes import attribute, make_node, make_weight
from edgesr.compile.ranges import Ranges
from edgesr.errors import ModelError, UsageError
from edgesr.types import Array, FloatArray

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

LEVELS = 127
_PREFIX = "edgesr_q_"
MIN_OPSET = 13
"""The first opset with scales per channel."""


@dataclass(frozen=True)
class QuantizeOptions:
    """What is quantised, and how."""

    calibrator: str = "entropy"
    exclude: str | None = None
    """A regular expression; layers whose name or operator it finds are not quantised."""
    skip: Collection[str] = ()
    """Names of layers that are not quantised."""
    residual: bool = True
    """Quantise the other branch of a sum behind a quantised convolution, which lets TensorRT fuse the two."""


@dataclass(frozen=True)
class QuantizeReport:
    """What became INT8 and what did not."""

    quantized: tuple[str, ...]
    """Layers that compute in INT8."""
    skipped: Mapping[str, str]
    """Convolutions and products that do not, with the reason."""
    activations: Mapping[str, float]
    """Scale of every quantised activation."""
    share: float
    """Fraction of the multiply-adds that the quantised layers hold."""


def to_int8(graph: Graph, ranges: Ranges, options: QuantizeOptions | None = None) -> tuple[Graph, QuantizeReport]:
    """Return the network with quantize/dequantize pairs around its heavy convolutions and products."""
    options = options or QuantizeOptions()
    if options.calibrator not in CALIBRATORS:
        raise UsageError(f"calibrator must be one of {', '.join(CALIBRATORS)}, got {options.calibrator!r}")
    if graph.opset < MIN_OPSET:
        raise ModelError(
            f"{graph.source}: has opset {graph.opset}, INT8 with scales per channel needs {MIN_OPSET}; export it anew"
        )
    layers, skipped = quantizable(graph, ranges, options)
    work = _Insertion(graph, ranges, options.calibrator)
    model = graph.copy()
    sums = _sums(graph, layers) if options.residual else {}
    for node in model.graph.node:
        if node.name in layers:
            work.quantize_layer(node)
        elif node.name in sums:
            slot = sums[node.name]
            node.input[slot] = work.activation(node.input[slot])
        work.nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(work.nodes)
    model.graph.initializer.extend(work.weights)
    sizes = ranges.sizes()
    products = {node.name: graph.products(node, sizes) for node in graph.nodes}
    total = sum(products.values())
    share = sum(products[name] for name in layers) / total if total else 0.0
    return Graph(model, graph.source), QuantizeReport(tuple(layers), skipped, work.scales, share)


def quantizable(graph: Graph, ranges: Ranges, options: QuantizeOptions) -> tuple[dict[str, None], dict[str, str]]:
    """Return the layers to quantise, in the graph's order, and the other convolutions and products with the reason."""
    layers: dict[str, None] = {}
    skipped: dict[str, str] = {}
    pattern = re.compile(options.exclude) if options.exclude else None
    settings = dict(settings_nodes(graph))
    for node in graph.nodes:
        if graph.channels_in(node) is None or graph.types.get(node.output[0]) != FLOAT:
            continue
        reason = settings.get(node.name) or _obstacle(graph, node, ranges)
        if pattern is not None and (pattern.search(node.name) or pattern.search(node.op_type)):
            reason = "is excluded"
        elif node.name in options.skip:
            reason = LOSES
        if reason:
            skipped[node.name] = reason
        else:
            layers[node.name] = None
    return layers, skipped


def _obstacle(graph: Graph, node: NodeProto, ranges: Ranges) -> str | None:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return "is no convolution or product"
    if node.input[1] not in graph.weights:
        return "has weights that are computed"
    if not is_heavy(graph, node):
        return "has few channels"
    if not graph.is_dynamic(node.input[0]):
        return "has a constant input"
    if node.input[0] not in ranges.tensors:
        return "has no recorded range"
    if node.op_type == "MatMul" and len(graph.weights[node.input[1]].dims) != 2:
        return "multiplies a stack of matrices"
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return "transposes its input"
    return None


def _sums(graph: Graph, layers: Mapping[str, None]) -> dict[str, int]:
    """Find sums of a quantised convolution and something else: name to the slot of that other branch."""
    found = {}
    for node in graph.nodes:
        if node.op_type != "Add" or len(graph.floats_in(node)) != 2 or node.input[0] == node.input[1]:
            continue
        for slot, other in ((0, 1), (1, 0)):
            producer = graph.producers.get(node.input[slot])
            branch = node.input[other]
            reads = any(user.name in layers for user in graph.consumers.get(branch, ()))
            alone = len(graph.consumers.get(node.input[slot], ())) == 1
            if producer is not None and producer.name in layers and alone and reads:
                found[node.name] = other
                break
    return found


class _Insertion:
    def __init__(self, graph: Graph, ranges: Ranges, calibrator: str) -> None:
        self.graph = graph
        self.ranges = ranges
        self.calibrator = calibrator
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.scales: dict[str, float] = {}
        self.pairs: dict[tuple[str, int], str] = {}

    def quantize_layer(self, node: NodeProto) -> None:
        """Put pairs in front of the input and the weight of one layer."""
        node.input[0] = self.activation(node.input[0])
        if node.op_type == "ConvTranspose":
            axis = 1
        elif node.op_type == "Conv":
            axis = 0
        else:
            axis = 0 if attribute(node, "transB", 0) else 1
        if node.op_type == "ConvTranspose" and attribute(node, "group", 1) != 1:
            axis = -1
        node.input[1] = self.weight(node.input[1], axis)

    def activation(self, name: str) -> str:
        """Return the dequantised form of an activation; every user shares one pair."""
        if (name, -1) not in self.pairs:
            threshold = self.ranges.tensors[name].threshold(self.calibrator)
            scale = np.float32(max(threshold, 1e-8) / LEVELS)
            self.scales[name] = float(scale)
            self._pair(name, np.array(scale, np.float32), -1)
        return self.pairs[name, -1]

    def weight(self, name: str, axis: int) -> str:
        """Return the dequantised form of a weight, with one scale per output channel, or one when ``axis`` is -1."""
        if (name, axis) not in self.pairs:
            self._pair(name, weight_scales(self.graph.array(name), axis), axis)
        return self.pairs[name, axis]

    def _pair(self, name: str, scale: Array, axis: int) -> None:
        base = f"{_PREFIX}{name}" + (f"_{axis}" if axis > 0 else "")
        self.weights += [
            make_weight(f"{base}_scale", scale),
            make_weight(f"{base}_zero", np.zeros(scale.shape, np.int8)),
        ]
        extra = [f"{base}_scale", f"{base}_zero"]
        attributes = {"axis": axis} if axis >= 0 else {}
        self.nodes += [
            make_node("QuantizeLinear", [name, *extra], [f"{base}_int8"], f"{base}_quantize", **attributes),
            make_node(
                "DequantizeLinear", [f"{base}_int8", *extra], [f"{base}_back"], f"{base}_dequantize", **attributes
            ),
        ]
        self.pairs[name, axis] = f"{base}_back"


def weight_scales(weight: Array, axis: int) -> FloatArray:
    """Return the scale of each output channel, or of the whole weight when ``axis`` is -1; 1 for channels of zeros."""
    axes = tuple(i for i in range(weight.ndim) if i != axis) if axis >= 0 else None
    largest = np.max(np.abs(weight), axis=axes)
    scales: FloatArray = np.where(largest > 0, largest / LEVELS, 1.0).astype(np.float32)
    return scales
