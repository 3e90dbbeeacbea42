"""The layers that take a lower precision, and the network in which some of them alone have it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from edgesr.compile.emulate import emulated
from edgesr.compile.fp16 import only_in_fp16
from edgesr.compile.graph import Graph
from edgesr.compile.int8 import QuantizeOptions, quantizable, to_int8
from edgesr.compile.islands import Rules, fp32_nodes, half_layers
from edgesr.compile.ranges import Ranges


@dataclass(frozen=True)
class Lowering:
    """What one precision lowers in a network, layer by layer."""

    layers: tuple[str, ...]
    """In the graph's order."""
    alone: Callable[[Collection[str]], Graph]
    """Return the network with these layers alone in the lower precision, as a CPU runs it."""
    most: int
    """Layers that may be given up: with fewer left, the precision would be one by name only."""


def int8_lowering(graph: Graph, ranges: Ranges, options: QuantizeOptions) -> Lowering:
    """Return the convolutions and products that INT8 takes; all but one may be given up."""
    layers = tuple(quantizable(graph, ranges, options)[0])

    def alone(names: Collection[str]) -> Graph:
        others = [layer for layer in layers if layer not in names]
        return to_int8(graph, ranges, QuantizeOptions(options.calibrator, skip=others, residual=False))[0]

    return Lowering(layers, alone, len(layers) - 1)


def fp16_lowering(graph: Graph, ranges: Ranges, rules: Rules) -> Lowering:
    """Return the layers that FP16 takes; half of them may be given up."""
    found = half_layers(graph, fp32_nodes(graph, ranges, rules))

    def alone(names: Collection[str]) -> Graph:
        return emulated(only_in_fp16(graph, [node for name in names for node in found[name]]))

    return Lowering(tuple(found), alone, len(found) // 2)
