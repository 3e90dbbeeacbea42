"""How much accuracy each layer loses when it alone is lowered, and how many layers have to be given up."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies, run_network
from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.compile.lowering import Lowering
from edgesr.compile.operations import count_operations
from edgesr.engines import open_backend
from edgesr.types import Array

_FEEDS = 4
_PRODUCTS = 500 * 10**9
"""Multiply-adds of a whole sweep: half a minute to a minute of one CPU core. Large networks are swept on fewer feeds,
and larger ones in groups of layers that follow each other."""


@dataclass(frozen=True)
class LayerLoss:
    """One layer and the signal-to-noise ratio of the network's outputs when it alone is lowered."""

    name: str
    decibels: float
    together: int = 1
    """Layers that were lowered with it, it included: more than one in networks too large for a run per layer."""


def sweep(
    graph: Graph,
    lowering: Lowering,
    feeds: Sequence[Feed],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[LayerLoss, ...]:
    """Lower one layer, or one group of layers, at a time and return all layers, the one that loses most first.

    ``on_step`` is told the number of finished runs and of all.
    """
    groups, count = _planned(graph, list(lowering.layers), feeds)
    chosen = spread(feeds, count)
    backend = open_backend("cpu")
    found = []
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        place = Path(folder)
        pictures = [name for name in graph.outputs if graph.types.get(name) in (FLOAT, HALF)]
        expected = run_copies(backend, graph.bytes(), chosen, place)
        for index, group in enumerate(groups):
            runs = run_network(backend, lowering.alone(group).bytes(), chosen, place)
            ratios = [
                _ratio(run[output], reference[output])
                for run, reference in zip(runs, expected, strict=True)
                for output in pictures
            ]
            found += [LayerLoss(name, min(ratios), len(group)) for name in group]
            if on_step is not None:
                on_step(index + 1, len(groups))
    return tuple(sorted(found, key=lambda loss: loss.decibels))


def _planned(graph: Graph, layers: list[str], feeds: Sequence[Feed]) -> tuple[list[list[str]], int]:
    """Return the groups of layers and the number of feeds that the arithmetic of a sweep allows."""
    shapes = {name: feeds[0][name].shape for name in graph.inputs}
    products = max(sum(node.products for node in count_operations(graph, shapes).nodes), 1)
    count = max(1, min(_FEEDS, _PRODUCTS // (products * max(len(layers), 1))))
    size = math.ceil(products * len(layers) / _PRODUCTS)
    return [layers[start : start + size] for start in range(0, len(layers), max(size, 1))], count


def fewest_skips(
    order: Sequence[LayerLoss], passes: Callable[[Sequence[str]], bool], *, most: int | None = None
) -> tuple[str, ...] | None:
    """Return the shortest list of worst layers whose absence makes ``passes`` true, by bisection.

    None when nothing but the absence of all layers would, or that of more than ``most``, which is then asked first.
    More absent layers are taken never to lose more accuracy.
    """
    names = [loss.name for loss in order]
    if passes(()):
        return ()
    low, high = 0, len(names)
    if most is not None and most < high - 1:
        if not most or not passes(names[:most]):
            return None
        high = most
    while high - low > 1:
        middle = (low + high) // 2
        if passes(names[:middle]):
            high = middle
        else:
            low = middle
    return tuple(names[:high]) if high < len(names) else None


def spread(feeds: Sequence[Feed], count: int) -> list[Feed]:
    """Return at most ``count`` of the feeds, evenly spaced."""
    step = max(len(feeds) / count, 1.0)
    return [feeds[int(index * step)] for index in range(min(count, len(feeds)))]


def _ratio(found: Array, expected: Array) -> float:
    """Return the signal-to-noise ratio in decibels, at most 300."""
    signal = float(np.mean(np.square(expected, dtype=np.float64)))
    noise = float(np.mean(np.square(found.astype(np.float64) - expected)))
    return 10.0 * float(np.log10(max(signal, 1e-30) / max(noise, signal * 1e-30, 1e-30)))
