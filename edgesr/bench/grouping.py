"""Columns of a table that put pictures into groups, those of numbers also by ranges."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from edgesr.errors import InputError, UsageError
from edgesr.model.schema import suggest


@dataclass(frozen=True)
class Grouping:
    """One column; ``edges`` part its numbers: below the first, from each to below the next, from the last on."""

    column: str
    edges: tuple[float, ...] = ()

    def group(self, text: str) -> str:
        """Return the group of a value as it is written, empty for an empty one; raise InputError for no number."""
        word = text.strip()
        if not word or not self.edges:
            return word
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"the {self.column} {word!r} is no number, which ranges need")
        place = bisect_right(self.edges, number)
        if place == 0:
            return f"<{self.edges[0]:g}"
        if place == len(self.edges):
            return f">={self.edges[-1]:g}"
        return f"{self.edges[place - 1]:g} to <{self.edges[place]:g}"


def grouping(text: str, columns: Sequence[str], where: str) -> Grouping:
    """Return what ``sex`` or ``age:40:60`` means in a table; raise UsageError for a column that it does not have."""
    if text in columns:
        return Grouping(text)
    column, *edges = text.split(":")
    if column not in columns:
        raise UsageError(f"{where} has no column {column!r}; it has {', '.join(columns)}{suggest(column, columns)}")
    try:
        numbers = tuple(float(edge) for edge in edges)
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)) or list(numbers) != sorted(set(numbers)):
        raise UsageError(f"ranges of a column need rising numbers, as {column}:40:60, got {text!r}")
    return Grouping(column, numbers)
