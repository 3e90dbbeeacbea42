"""How sure a figure is: confidence intervals by the bootstrap, with all pictures of a patient drawn together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

DRAWS = 2000
LEVEL = 0.95
_SEED = 20240229


@dataclass(frozen=True)
class Interval:
    """Percentile bootstrap interval."""

    low: float
    high: float


def draw_weights(clusters: Sequence[str], draws: int = DRAWS) -> Array:
    """Return how often each picture counts in each draw, int64 ``(draws, pictures)``: clusters drawn with replacement.

    The same clusters give the same draws.
    """
    _, places = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    number = int(places.max()) + 1
    random = np.random.default_rng(_SEED)
    return np.asarray(random.multinomial(number, np.full(number, 1 / number), size=draws)[:, places.reshape(-1)])


def interval(
    values: Array, clusters: Sequence[str], statistic: Callable[[Array, Array], Array] | None = None
) -> Interval | None:
    """Return the 95 % interval of the mean of ``values`` ``(pictures,)``; None for a single cluster.

    ``statistic`` computes another figure of sums: it is given, for each draw, the sum of ``values`` ``(pictures, ...)``
    and the number of pictures, ``(draws, ...)`` and ``(draws,)``.
    """
    if len(set(clusters)) < 2 or not np.isfinite(values).all():
        return None
    weights = draw_weights(clusters)
    flat = values.reshape(len(values), -1).astype(np.float64)
    sums = (weights @ flat).reshape(len(weights), *values.shape[1:])
    counts = weights.sum(axis=1)
    return spread(sums / counts if statistic is None else statistic(sums, counts))


def spread(drawn: npt.NDArray[np.float64]) -> Interval | None:
    """Return the interval that holds the middle 95 % of drawn figures; None where none is a number."""
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
