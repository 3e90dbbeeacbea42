"""FP16 with FP32 islands: a typed network whose every tensor says in which precision it is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgesr.compile.graph import FLOAT, HALF, INT8, UINT8, Graph, has_floats
from edgesr.compile.islands import HALF_TINY, Rules, fp32_nodes, is_fixed
from edgesr.compile.nodes import attribute, captured, fill_value, make_node, make_weight, set_attribute
from edgesr.compile.ranges import Ranges
from edgesr.compile.signatures import signature_of

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

IO = Literal["fp32", "fp16"]
_EXACT_SOURCES = (UINT8, INT8, FLOAT)
"""What an existing cast to FP32 may turn to FP16 instead without a further loss."""
_CAST = "edgesr_cast_"


@dataclass(frozen=True)
class HalfReport:
    """What became FP16 and what did not."""

    fp32: Mapping[str, str]
    """Nodes that stay in FP32, with the reason."""
    half_nodes: int
    float_nodes: int
    """Nodes that work on floats, in either precision."""
    casts: int
    """Casts that were inserted."""
    share: float
    """Fraction of the multiply-adds that FP16 nodes hold; 1 when there are none."""
    zeroed: int
    """Weights that FP16 rounds to zero."""
    subnormal: int
    """Weights that keep less than 11 bits in FP16."""
    weights: int


def to_fp16(graph: Graph, ranges: Ranges, rules: Rules | None = None, *, io: IO = "fp32") -> tuple[Graph, HalfReport]:
    """Return the network in FP16, except for the nodes that ``fp32_nodes`` names.

    Pictures enter and leave as ``io`` says; settings stay float32. Tensors keep their names.
    """
    kept = fp32_nodes(graph, ranges, rules or Rules())
    work = _Rewriting(graph, kept, io)
    result = Graph(work.run(), graph.source)
    sizes = ranges.sizes()
    products = {node.name: graph.products(node, sizes) for node in graph.nodes}
    total = sum(products.values())
    slow = sum(products[name] for name in kept)
    floats = sum(has_floats(graph, node) for node in graph.nodes)
    return result, HalfReport(
        fp32=kept,
        half_nodes=floats - len(kept),
        float_nodes=floats,
        casts=sum(node.name.startswith(_CAST) for node in result.nodes),
        share=1.0 - slow / total if total else 1.0,
        zeroed=work.losses["zeroed"],
        subnormal=work.losses["subnormal"],
        weights=work.losses["weights"],
    )


def only_in_fp16(graph: Graph, nodes: Collection[str]) -> Graph:
    """Return the network with these nodes alone in FP16."""
    kept = {node.name: "" for node in graph.nodes if has_floats(graph, node) and node.name not in nodes}
    return Graph(_Rewriting(graph, kept, "fp32").run(), graph.source)


class _Rewriting:
    """One pass over the nodes in their order; every tensor has a home type and at most one converted version."""

    def __init__(self, graph: Graph, kept: Mapping[str, str], io: IO) -> None:
        self.graph = graph
        self.kept = kept
        self.io = io
        self.losses: Counter[str] = Counter()
        self.home: dict[str, int] = {}
        self.renamed: dict[str, str] = {}
        self.versions: dict[tuple[str, int], str] = {}
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, TensorProto] = {}
        self.names = {name for node in graph.nodes for name in (*node.input, *node.output)} | set(graph.weights)

    def run(self) -> Any:
        graph = self.graph
        model = graph.copy()
        picture = HALF if self.io == "fp16" else FLOAT
        for value in model.graph.input:
            if value.name in graph.inputs and graph.types.get(value.name) == FLOAT:
                self.home[value.name] = FLOAT if graph.is_control(value.name) else picture
                value.type.tensor_type.elem_type = self.home[value.name]
        for value in model.graph.output:
            if graph.types.get(value.name) == FLOAT:
                value.type.tensor_type.elem_type = FLOAT if graph.is_control(value.name) else picture
        wanted = {v.name: int(v.type.tensor_type.elem_type) for v in model.graph.output}
        for node in model.graph.node:
            self._convert(node, wanted)
        for name, kind in wanted.items():
            self._deliver(name, kind)
        alive = _alive(self.nodes, graph.outputs)
        used = {name for node in alive for name in (*node.input, *captured(node))} | set(graph.outputs)
        del model.graph.node[:]
        model.graph.node.extend(alive)
        tensors = [t for t in (*graph.weights.values(), *self.weights.values()) if t.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(tensors)
        return model

    def _convert(self, node: NodeProto, wanted: Mapping[str, int]) -> None:
        graph = self.graph
        if node.op_type == "Cast" and not node.domain:
            self._convert_cast(node, wanted)
            return
        half = has_floats(graph, node) and node.name not in self.kept
        found = signature_of(graph, node)
        for slot, name in enumerate(node.input):
            if not name or graph.types.get(name) != FLOAT:
                node.input[slot] = self._current(name)
                continue
            can = half and not is_fixed(node, slot) and found is not None and found.takes(found.input(slot), "float16")
            node.input[slot] = self._version(name, HALF if can else FLOAT)
        for slot, name in enumerate(node.output):
            if name and graph.types.get(name) == FLOAT:
                can = half and found is not None and found.takes(found.output(slot), "float16")
                node.output[slot] = self._settle(name, HALF if can else FLOAT, wanted)
        if half and node.op_type == "ConstantOfShape":
            set_attribute(node, "value", fill_value(node).astype(np.float16))
        self.nodes.append(node)

    def _convert_cast(self, node: NodeProto, wanted: Mapping[str, int]) -> None:
        """Let existing casts take what comes; one from FP16 to FP32 hands its source to FP16 users."""
        graph = self.graph
        source, result = node.input[0], node.output[0]
        kind, target = graph.types.get(source), int(attribute(node, "to", FLOAT))
        node.input[0] = self._current(source)
        if target == FLOAT:
            users = graph.consumers.get(result, [])
            all_half = bool(users) and all(user.name not in self.kept for user in users)
            half = node.name not in self.kept and all_half and kind in _EXACT_SOURCES and result not in wanted
            if half:
                set_attribute(node, "to", HALF)
            node.output[0] = self._settle(result, HALF if half else FLOAT, wanted)
            if kind == HALF:
                self.versions[result, HALF] = node.input[0]
        elif target == HALF and self.home.get(source) == HALF and result not in wanted:
            self.renamed[result] = node.input[0]
            return
        self.nodes.append(node)

    def _settle(self, name: str, home: int, wanted: Mapping[str, int]) -> str:
        """Note the type in which a tensor is computed; an output of the other type is computed under another name."""
        self.home[name] = home
        if name in wanted and wanted[name] != home:
            self.renamed[name] = self._fresh(name, home)
        return self._current(name)

    def _deliver(self, name: str, kind: int) -> None:
        if name in self.renamed:
            self._cast(self.renamed[name], name, kind)

    def _current(self, name: str) -> str:
        return self.renamed.get(name, name)

    def _version(self, name: str, kind: int) -> str:
        """Return the name under which a float tensor is found in a type, with a cast where needed, made once."""
        graph = self.graph
        if name in graph.weights:
            return name if kind == FLOAT else self._half_weight(name)
        if self.home.get(name, FLOAT) == kind:
            return self._current(name)
        if (name, kind) not in self.versions:
            target = self._fresh(name, kind)
            self._cast(self._current(name), target, kind)
            self.versions[name, kind] = target
        return self.versions[name, kind]

    def _half_weight(self, name: str) -> str:
        if (name, HALF) not in self.versions:
            values = self.graph.array(name)
            half = values.astype(np.float16)
            fresh = self._fresh(name, HALF)
            self.weights[fresh] = make_weight(fresh, half)
            self.versions[name, HALF] = fresh
            self.losses["weights"] += values.size
            self.losses["zeroed"] += int(np.count_nonzero((half == 0) & (values != 0)))
            self.losses["subnormal"] += int(np.count_nonzero((half != 0) & (np.abs(half) < HALF_TINY)))
        return self.versions[name, HALF]

    def _cast(self, source: str, target: str, kind: int) -> None:
        self.nodes.append(make_node("Cast", [source], [target], _CAST + target, to=kind))

    def _fresh(self, name: str, kind: int) -> str:
        fresh = f"{name}_{'fp16' if kind == HALF else 'fp32'}"
        while fresh in self.names:
            fresh += "_"
        self.names.add(fresh)
        return fresh


def _alive(nodes: list[NodeProto], outputs: tuple[str, ...]) -> list[NodeProto]:
    """Leave out nodes whose results nobody takes."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed.update((*node.input, *captured(node)))
    return kept[::-1]
