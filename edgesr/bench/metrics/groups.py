"""Whether a figure holds for everyone: one table per grouping, with ratio to the average, largest gap and chance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgesr.bench.metrics.intervals import DRAWS, Interval, interval
from edgesr.types import Array

_SEED = 20240301


@dataclass(frozen=True)
class Group:
    """One group of pictures."""

    pictures: int
    clusters: int
    """Patients, where a column names them; else pictures."""
    value: float
    interval: Interval | None
    ratio: float | None
    """Value over the average of the groups: the representation ratio, 1 for equal treatment."""


@dataclass(frozen=True)
class GroupTable:
    """One figure by the values of one column, such as accuracy by sex."""

    by: str
    metric: str
    groups: Mapping[str, Group]
    average: float
    """Mean of the groups' values, each group counting once."""
    overall: float
    """Mean over all pictures of the groups."""
    gap: float
    """Largest value of a group less the smallest."""
    p_value: float | None
    """How often groups of these sizes, drawn at random, differ as much; None for one group."""

    def document(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


def group_table(by: str, metric: str, values: Array, names: Sequence[str], clusters: Sequence[str]) -> GroupTable:
    """Group ``values`` ``(pictures,)`` by ``names``; pictures of one cluster are drawn together for intervals."""
    labels = np.asarray(names, dtype=str)
    chosen = {name: np.flatnonzero(labels == name) for name in in_order(names)}
    means = {name: float(values[index].mean()) for name, index in chosen.items()}
    average = float(np.mean(list(means.values())))
    groups = {}
    for name, index in chosen.items():
        own = [clusters[i] for i in index.tolist()]
        groups[name] = Group(
            pictures=len(index),
            clusters=len(set(own)),
            value=means[name],
            interval=interval(values[index], own),
            ratio=means[name] / average if average else None,
        )
    gap = max(means.values()) - min(means.values())
    return GroupTable(by, metric, groups, average, float(values.mean()), gap, _p_value(values, labels, clusters, gap))


def in_order(names: Iterable[str]) -> list[str]:
    """Return the different names: numbers and ranges of them by size, then words."""
    return sorted(set(names), key=_order)


def _order(name: str) -> tuple[bool, float, bool, str]:
    number = re.match(r"(<|>=)?(-?\d+(?:\.\d+)?(?:e[+-]\d+)?)(?: to <|$)", name)
    return (False, float(number[2]), number[1] != "<", name) if number else (True, 0.0, False, name)


def _p_value(values: Array, labels: Array, clusters: Sequence[str], gap: float) -> float | None:
    """Deal the groups out anew: to whole clusters where each lies in one group, else to pictures."""
    if len(set(labels)) < 2:
        return None
    numbers = np.unique(labels, return_inverse=True)[1].reshape(-1)
    places = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1].reshape(-1)
    if len(set(zip(places.tolist(), numbers.tolist(), strict=True))) > places.max() + 1:
        places = np.arange(len(values))
    count = int(places.max()) + 1
    group = np.zeros(count, np.intp)
    group[places] = numbers
    sums, sizes = np.bincount(places, values, count), np.bincount(places, minlength=count)
    random = np.random.default_rng(_SEED)
    as_large = 0
    for _ in range(DRAWS):
        dealt = random.permutation(group)
        means = np.bincount(dealt, sums) / np.bincount(dealt, sizes)
        as_large += int(means.max() - means.min() >= gap * (1 - 1e-9))
    return (1 + as_large) / (1 + DRAWS)
