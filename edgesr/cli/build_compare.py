"""``edgesr build --compare``: the layers that depart from FP32, in ONNX Runtime and in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgesr.cli.output import result, result_json
from edgesr.compile.compare import Comparison, compare_networks
from edgesr.compile.emulate import emulated
from edgesr.compile.feeds import Feed
from edgesr.compile.graph import Graph
from edgesr.compile.sensitivity import spread
from edgesr.compile.typed import Typed

RUNS = 4
"""Runs that layers are compared on: each holds every tensor of the network twice."""


def compare_typed(reference: Graph, typed: Typed, feeds: Sequence[Feed], threshold: float) -> Comparison:
    """Compare the layers of a typed network with FP32, with FP16 rounded as it is stored."""
    return compare_networks(
        reference,
        emulated(typed.graph),
        spread(feeds, RUNS),
        precisions=typed.precisions(),
        threshold=threshold,
    )


def show(comparisons: Mapping[str, Comparison], *, as_json: bool) -> None:
    """Write the tables, each under a word about where its network ran, or one JSON document."""
    if as_json:
        result_json({"comparison": document(comparisons)})
        return
    for where, comparison in comparisons.items():
        head, *rows = comparison.table()
        result(f"{where}: {head}")
        for row in rows:
            result(f"  {row}")


def document(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return the comparisons as JSON data."""
    return {where: comparison.document() for where, comparison in comparisons.items()}
