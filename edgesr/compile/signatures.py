"""Which element types an operator takes and returns, from the ONNX operator schemas, and a check that graphs obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from edgesr.compile.graph import TYPE_NAMES, Graph
from edgesr.errors import ModelError

if TYPE_CHECKING:
    from onnx import NodeProto


@dataclass(frozen=True)
class Signature:
    """The type of each input and output of an operator: a concrete one, or a variable such as ``T``."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    allowed: Mapping[str, frozenset[str]]
    """Variable to the types that it may stand for, e.g. ``tensor(float16)``."""

    def input(self, slot: int) -> str:
        """Return the type of an input; the last one of a variadic operator stands for all that follow."""
        return self.inputs[min(slot, len(self.inputs) - 1)]

    def output(self, slot: int) -> str:
        """Return the type of an output."""
        return self.outputs[min(slot, len(self.outputs) - 1)]

    def takes(self, kind: str, element: str) -> bool:
        """Tell whether a variable or concrete type admits an element type, e.g. ``float16``."""
        return f"tensor({element})" in self.allowed.get(kind, (kind,))


@cache
def signature(operator: str, domain: str, opset: int) -> Signature | None:
    """Return what an operator of this opset takes and returns, None for one that ONNX does not define."""
    import onnx.defs

    try:
        schema = onnx.defs.get_schema(operator, opset, domain)
    except onnx.defs.SchemaError:
        return None
    allowed = {entry.type_param_str: frozenset(entry.allowed_type_strs) for entry in schema.type_constraints}
    return Signature(
        tuple(formal.type_str for formal in schema.inputs),
        tuple(formal.type_str for formal in schema.outputs),
        allowed,
    )


def signature_of(graph: Graph, node: NodeProto) -> Signature | None:
    """Return the signature of a node's operator in the graph's opset."""
    if node.domain not in ("", "ai.onnx"):
        return None
    return signature(node.op_type, "", graph.opset)


def check_types(graph: Graph) -> None:
    """Refuse a graph in which a node gets types that its operator does not take, or two at once for one variable.

    This repeats what a strongly typed compiler checks; ``onnx.checker`` looks at single tensors only.
    """
    for node in graph.nodes:
        found = signature_of(graph, node)
        if found is None:
            continue
        bound: dict[str, tuple[str, str]] = {}
        sides = [(found.input(slot), name) for slot, name in enumerate(node.input) if found.inputs]
        sides += [(found.output(slot), name) for slot, name in enumerate(node.output) if found.outputs]
        for kind, name in sides:
            number = graph.types.get(name)
            if not name or number not in TYPE_NAMES:
                continue
            element = TYPE_NAMES[number]
            if not found.takes(kind, element):
                raise ModelError(
                    f"{graph.source}: {node.op_type} {node.name!r} takes no {element} for {name!r}; "
                    "keep it in FP32 with --exclude"
                )
            first = bound.setdefault(kind, (element, name))
            if first[0] != element and not _is_heterogeneous(node):
                raise ModelError(
                    f"{graph.source}: {node.op_type} {node.name!r} mixes {first[0]} ({first[1]!r}) with {element} "
                    f"({name!r}); keep it in FP32 with --exclude"
                )


def _is_heterogeneous(node: NodeProto) -> bool:
    """Tell whether one type variable of the operator stands for several types at once."""
    return node.op_type in ("If", "Loop", "Scan", "SequenceConstruct")
