"""Parameters, multiply-adds, size and latency of the papers' networks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backends.sides import open_sides
from benchmarks.papers.networks import ARCHITECTURES, open_architecture
from benchmarks.timing import alternate
from edgesr.compile.graph import Graph
from edgesr.compile.operations import count_operations


@dataclass(frozen=True)
class Row:
    """One network as it was measured here."""

    network: str
    paper: str
    input: str
    parameters: int
    products: int
    """Multiply-adds of convolutions and matrix products of one run."""
    bytes: int
    """Of the ONNX file."""
    samples: dict[str, list[float]]
    """Seconds of every run by runtime, in turn; empty where it was not timed."""
    absent: dict[str, str]


def measure_architecture(name: str, *, threads: int, rounds: int, seconds: float) -> Row:
    """Build, export, count and time one network; raises ImportError where a library is missing."""
    with tempfile.TemporaryDirectory(prefix="edgesr-benchmark-") as place:
        network = open_architecture(name, Path(place))
        graph = Graph.read(network.path)
        shapes = {tensor: tuple(array.shape) for tensor, array in network.feeds.items()}
        counted = count_operations(graph, shapes)
        sides = open_sides(network, Path(place), threads=threads, with_compile=False)
        # All sides have settled, and a run of the largest takes seconds.
        samples = alternate(sides.actions, rounds, warmup=0, seconds=seconds) if rounds else {}
        return Row(
            name,
            ARCHITECTURES[name].paper,
            network.size,
            sum(parameter.numel() for parameter in network.module.parameters()),
            sum(node.products for node in counted.nodes),
            network.path.stat().st_size,
            samples,
            sides.absent,
        )
