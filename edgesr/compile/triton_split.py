"""A served graph in three: from picture to the network's tensors, the network, and back to pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesr.compile.graph import Graph
from edgesr.compile.nodes import captured

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto

_OURS = ("embedded_", "served_")
"""How the names begin of the nodes that ``embed_io`` and ``served_graph`` add."""


@dataclass(frozen=True)
class Pieces:
    """The graphs of an ensemble in the order in which they run; tensors keep their names."""

    before: Graph
    network: Graph
    after: Graph | None
    """None where the network's own outputs are what is served."""

    def named(self) -> dict[str, Graph]:
        """Return the graphs by what is added to the name of the model."""
        found = {"before": self.before, "network": self.network, "after": self.after}
        return {name: graph for name, graph in found.items() if graph is not None}


def split_served(whole: Graph, network: Graph, image: str) -> Pieces:
    """Cut ``whole`` where ``network`` was before it took pictures; ``image`` is what that one called its picture."""
    borders = {value.name: value for value in (*network.model.graph.input, *network.model.graph.output)}
    given = {value.name: value for value in whole.model.graph.input if value.name in whole.inputs}
    made = {value.name: value for value in whole.model.graph.output}
    first = _leading_to(whole, image)
    last = [node for node in whole.nodes if node.name.startswith(_OURS) and node.name not in first]
    ends = {node.name for node in last}
    middle = [node for node in whole.nodes if node.name not in first and node.name not in ends]
    between = [name for name in _taken(last) if name in borders]
    own = [name for name in whole.outputs if name in {out for node in middle for out in node.output}]
    before = _piece(whole, [node for node in whole.nodes if node.name in first], given, {image: borders[image]})
    tensors = {name: borders[name] for name in dict.fromkeys((*between, *own))}
    part = _piece(whole, middle, {image: borders[image], **given}, tensors)
    if not last:
        return Pieces(before, part, None)
    results = {name: value for name, value in made.items() if name not in own}
    return Pieces(before, part, _piece(whole, last, {name: borders[name] for name in between}, results))


def _leading_to(graph: Graph, tensor: str) -> set[str]:
    found: set[str] = set()
    left = [tensor]
    while left:
        node = graph.producers.get(left.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            left += [*node.input, *captured(node)]
    return found


def _taken(nodes: Iterable[NodeProto]) -> list[str]:
    return list(dict.fromkeys(name for node in nodes for name in (*node.input, *captured(node)) if name))


def _piece(
    whole: Graph, nodes: list[NodeProto], given: dict[str, ValueInfoProto], made: dict[str, ValueInfoProto]
) -> Graph:
    """Return the nodes with those of ``given`` that they take, settings that have a value, and their constants."""
    taken = set(_taken(nodes))
    model = whole.copy()
    settings = [value for value in model.graph.input if value.name in whole.weights and value.name in taken]
    inputs = [*(value for name, value in given.items() if name in taken), *settings]
    weights = [tensor for tensor in model.graph.initializer if tensor.name in taken]
    del model.graph.node[:], model.graph.input[:], model.graph.output[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(inputs)
    model.graph.output.extend(made.values())
    model.graph.initializer.extend(weights)
    return Graph(model, whole.source)
