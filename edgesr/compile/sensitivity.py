"""How much accuracy each layer loses when it alone is quantised, and how many layers have to stay out of INT8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies, run_network
from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.compile.int8 import QuantizeOptions, quantizable, to_int8
from edgesr.compile.ranges import Ranges
from edgesr.engines import open_backend
from edgesr.types import Array

_FEEDS = 4


@dataclass(frozen=True)
class LayerLoss:
    """One layer and the signal-to-noise ratio of the network's outputs when it alone computes in INT8."""

    name: str
    decibels: float


def sweep(
    graph: Graph,
    ranges: Ranges,
    options: QuantizeOptions,
    feeds: Sequence[Feed],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[LayerLoss, ...]:
    """Quantise one layer at a time and return all layers, the one that loses most first.

    ``on_step`` is told the number of finished layers and of all.
    """
    layers, _ = quantizable(graph, ranges, options)
    chosen = spread(feeds, _FEEDS)
    backend = open_backend("cpu")
    found = []
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        place = Path(folder)
        pictures = [name for name in graph.outputs if graph.types.get(name) in (FLOAT, HALF)]
        expected = run_copies(backend, graph.bytes(), chosen, place)
        for index, name in enumerate(layers):
            alone = QuantizeOptions(
                calibrator=options.calibrator, skip=[other for other in layers if other != name], residual=False
            )
            quantized, _ = to_int8(graph, ranges, alone)
            runs = run_network(backend, quantized.bytes(), chosen, place)
            ratios = [
                _ratio(run[output], reference[output])
                for run, reference in zip(runs, expected, strict=True)
                for output in pictures
            ]
            found.append(LayerLoss(name, min(ratios)))
            if on_step is not None:
                on_step(index + 1, len(layers))
    return tuple(sorted(found, key=lambda loss: (loss.decibels, loss.name)))


def fewest_skips(order: Sequence[LayerLoss], passes: Callable[[Sequence[str]], bool]) -> tuple[str, ...] | None:
    """Return the shortest list of worst layers whose absence from INT8 makes ``passes`` true, by bisection.

    None when nothing but the absence of all layers would. More absent layers are taken never to lose more accuracy.
    """
    names = [loss.name for loss in order]
    if passes(()):
        return ()
    low, high = 0, len(names)
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
