"""Which nodes of a network stay in FP32, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgesr.compile.graph import FLOAT, Graph, has_floats
from edgesr.compile.nodes import captured
from edgesr.compile.ranges import Ranges
from edgesr.compile.signatures import signature_of

if TYPE_CHECKING:
    from onnx import NodeProto

LOSES = "loses too much accuracy"
"""Why a layer was given up to pass the accuracy gate."""
HALF_MAX = 65504.0
HALF_TINY = 2.0**-14
"""The smallest FP16 value with all its 11 bits."""
_THIN = 8
"""Convolutions over less channels cost little and often work on the picture itself."""
_PICTURE = 16
"""A tensor with more channels is no picture, also before a pixel shuffle by 4."""
_SCALARS = 4
_ROOTS = ("Sqrt", "Reciprocal", "Div")
"""How a normalisation that is written out goes on after its sums."""
_GROWTH, _GROWN = 8.0, 64.0

SENSITIVE = {
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization"), "normalises"),
    **dict.fromkeys(("MeanVarianceNormalization", "LpNormalization", "RMSNormalization"), "normalises"),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "Exp", "Log", "Pow"), "has a wide range"),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"), "sums many values"),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "CumSum"), "sums many values"),
    **dict.fromkeys(("Upsample", "NonMaxSuppression", "Celu", "Range", "EyeLike", "RoiAlign"), "needs FP32"),
    **dict.fromkeys(("If", "Loop", "Scan"), "has a graph inside"),
    **dict.fromkeys(("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"), "needs FP32"),
}
"""Operators that overflow or lose their meaning in FP16, in TensorRT's forums as in its own AutoCast tool."""


@dataclass(frozen=True)
class Rules:
    """When a node stays in FP32."""

    safety: float = 128.0
    """How many times larger than on the calibration pictures an activation may get before FP16 overflows."""
    exclude: str | None = None
    """A regular expression; nodes whose name or operator it finds stay in FP32."""
    precise_output: bool = True
    """Keep the cheap nodes between the last heavy layer and the output in FP32, so that its low bits survive."""
    results: Mapping[str, str] = field(default_factory=dict)
    """What output tensors are, by name; one that is not named is a picture."""
    skip: Collection[str] = ()
    """Names of layers, as ``half_layers`` gives them, that stay in FP32."""


def fp32_nodes(graph: Graph, ranges: Ranges, rules: Rules) -> dict[str, str]:
    """Return the nodes that work on floats and must not become FP16: name to reason, in the graph's order."""
    reasons: dict[str, str] = {}
    pattern = re.compile(rules.exclude) if rules.exclude else None
    outer = {name for node in graph.nodes for name in captured(node)}
    for node in graph.nodes:
        if not has_floats(graph, node):
            continue
        reason = _own_reason(graph, node, ranges, rules, pattern)
        if reason is None and outer & set(node.output):
            reason = "is used by a graph inside a node"
        if reason is not None:
            reasons[node.name] = reason
    for name, reason in (*_streams(graph, ranges), *settings_nodes(graph)):
        reasons.setdefault(name, reason)
    if rules.precise_output:
        for name, carried in _tail(graph, rules.results).items():
            reasons.setdefault(name, f"carries the {' and the '.join(carried)}")
    _close(graph, reasons)
    if rules.skip:
        for layer, nodes in half_layers(graph, reasons).items():
            if layer in rules.skip:
                reasons |= dict.fromkeys(nodes, "follows a layer that loses too much accuracy")
                reasons[layer] = LOSES
        _close(graph, reasons)
    return {n.name: reasons[n.name] for n in graph.nodes if n.name in reasons and has_floats(graph, n)}


def half_layers(graph: Graph, kept: Collection[str]) -> dict[str, list[str]]:
    """Divide the nodes that are not ``kept`` in FP32 into layers, the first node of each its name.

    A layer is a heavy node with the light ones that work on its result. A light node of several sources belongs to the
    last one; one whose sources are all in FP32 begins a layer.
    """
    layers: list[list[str]] = []
    layer_of: dict[str, int] = {}
    for node in graph.nodes:
        if node.name in kept or not has_floats(graph, node):
            continue
        sources = [layer_of[name] for name in graph.floats_in(node) if name in layer_of]
        if is_heavy(graph, node) or not sources:
            layers.append([])
            sources = [len(layers) - 1]
        layers[max(sources)].append(node.name)
        layer_of |= dict.fromkeys(node.output, max(sources))
    return {nodes[0]: nodes for nodes in layers}


def _own_reason(
    graph: Graph, node: NodeProto, ranges: Ranges, rules: Rules, pattern: re.Pattern[str] | None
) -> str | None:
    """Return why a node by itself stays in FP32."""
    if pattern is not None and (pattern.search(node.name) or pattern.search(node.op_type)):
        return "is excluded"
    if node.op_type in SENSITIVE:
        return f"{node.op_type} {SENSITIVE[node.op_type]}"
    if not _takes_half(graph, node):
        return f"{node.op_type} takes no FP16 in opset {graph.opset}"
    limit = HALF_MAX / rules.safety
    for name in (*node.input, *node.output):
        if name in graph.weights and graph.types.get(name) == FLOAT:
            reason = _constant_reason(graph, name)
            if reason:
                return reason
        entry = ranges.tensors.get(name)
        if entry is None or graph.types.get(name) != FLOAT:
            continue
        if entry.absmax > limit:
            return f"activations reach {entry.absmax:.4g}, the limit is {limit:.4g}"
        if 0.0 < entry.absmax < HALF_TINY:
            return f"activations stay below {entry.absmax:.2g}, where FP16 loses bits"
    return None


def _constant_reason(graph: Graph, name: str) -> str | None:
    values = np.abs(graph.array(name))
    largest = float(values.max(initial=0.0))
    if not largest <= HALF_MAX:
        return f"a constant of {largest:.4g} overflows FP16"
    if values.size <= _SCALARS and 0.0 < float(values.min(initial=np.inf)) < HALF_TINY:
        return f"a constant of {float(values.min()):.2g} loses bits in FP16"
    return None


def _takes_half(graph: Graph, node: NodeProto) -> bool:
    """Tell whether the operator's float inputs and outputs may be FP16; a Cast takes what comes."""
    if node.op_type in ("Cast", "Constant"):
        return True
    found = signature_of(graph, node)
    if found is None:
        return False
    slots = [(found.input(i), name) for i, name in enumerate(node.input) if not is_fixed(node, i) and found.inputs]
    slots += [(found.output(i), name) for i, name in enumerate(node.output)]
    return all(found.takes(kind, "float16") for kind, name in slots if name and graph.types.get(name) == FLOAT)


def is_fixed(node: NodeProto, slot: int) -> bool:
    """Tell whether an input stays FP32 whatever the node is: the region and the scales of a resize."""
    return node.op_type in ("Resize", "Upsample") and slot > 0


def _streams(graph: Graph, ranges: Ranges) -> list[tuple[str, str]]:
    """Find residual streams that grow from sum to sum, as in transformers: they may grow further on other pictures."""
    found: list[tuple[str, str]] = []
    first: dict[str, float] = {}
    members: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.op_type != "Add" or len(graph.floats_in(node)) != 2 or node.output[0] not in ranges.tensors:
            continue
        before = next((name for name in node.input if name in members), None)
        size = ranges.tensors[node.output[0]].absmax
        members[node.output[0]] = [*(members[before] if before else []), node.name]
        first[node.output[0]] = first[before] if before else size
        growth = size / max(first[node.output[0]], 1e-9)
        if growth > _GROWTH and size > _GROWN:
            reason = f"belongs to a residual stream that grows {growth:.0f} times, to {size:.4g}"
            found += [(name, reason) for name in members[node.output[0]]]
    return found


def settings_nodes(graph: Graph) -> list[tuple[str, str]]:
    """Find what is computed from settings alone: it costs nothing, and a grey-level step of 1/65535 needs FP32."""
    derived = {name for name in graph.inputs if graph.is_control(name)}
    constant = set(graph.weights)
    found = []
    for node in graph.nodes:
        dynamic = [name for name in (*node.input, *captured(node)) if name and name not in constant]
        if not dynamic:
            constant.update(node.output)
        elif all(name in derived for name in dynamic):
            derived.update(node.output)
            found.append((node.name, "is computed from settings alone"))
    return found


def _tail(graph: Graph, results: Mapping[str, str]) -> dict[str, dict[str, None]]:
    """Walk back from the outputs over nodes that cost little and handle pictures, up to the last heavy layers.

    Return the nodes with what they carry.
    """
    found: dict[str, dict[str, None]] = {}
    for output in graph.outputs:
        carried, seen = results.get(output, "output picture"), set[str]()
        levels = [output] if graph.types.get(output) == FLOAT else []
        while levels:
            node = graph.producers.get(levels.pop())
            if node is None or node.name in seen or is_heavy(graph, node) or _is_wide(graph, node):
                continue
            seen.add(node.name)
            found.setdefault(node.name, {})[carried] = None
            levels += graph.floats_in(node)
    return found


def is_heavy(graph: Graph, node: NodeProto) -> bool:
    """Tell whether a node is a convolution or product over many channels, where nearly all arithmetic is."""
    channels = graph.channels_in(node)
    return channels is not None and not 0 <= channels < _THIN


def _is_wide(graph: Graph, node: NodeProto) -> bool:
    shape = graph.shapes.get(node.output[0], ())
    return len(shape) == 4 and min(shape[1], shape[3] if shape[3] > 0 else shape[1]) > _PICTURE


def _close(graph: Graph, reasons: dict[str, str]) -> None:
    """Keep what lies between FP32 nodes in FP32 too: two casts cost more than a cheap node."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            if node.name in reasons or is_heavy(graph, node) or not has_floats(graph, node):
                continue
            sources = [graph.producers.get(name) for name in graph.floats_in(node)]
            users = [user for name in graph.floats_out(node) for user in graph.consumers.get(name, ())]
            before = bool(sources) and all(source is not None and source.name in reasons for source in sources)
            if before and users and all(user.name in reasons for user in users):
                reasons[node.name] = "lies between FP32 nodes"
                changed = True
            elif node.op_type in _ROOTS and any(source is not None and source.name in reasons for source in sources):
                reasons[node.name] = "divides by what an FP32 node gives"
                changed = True
