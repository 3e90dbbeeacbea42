"""Count right classes of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgesr.bench.label_quality import LabelledPicture, LabelQuality
from edgesr.bench.labels_file import class_index
from edgesr.bench.metrics.groups import group_table
from edgesr.bench.metrics.intervals import Interval, interval
from edgesr.bench.metrics.labels import in_top
from edgesr.errors import InputError


class ClassCounter:
    """Counts top-1 and, from six classes on, top-5; ``classes`` may be 0 until the first result tells it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[dict[str, Any]] = []
        self._pictures: list[LabelledPicture] = []
        self._classes = len(names)

    def check(self, picture: LabelledPicture) -> str:
        """Return the label as it is written."""
        if picture.label is None or not picture.label.strip():
            raise InputError(f"{picture.path.name}: the table of labels does not name its class")
        if self._names:
            class_index(picture.label, self._names, self._classes)
        return picture.label

    def add(self, picture: LabelledPicture, truth: str, result: Any, size: tuple[int, int]) -> None:
        """Count one picture."""
        self._classes = len(result.scores)
        index = class_index(truth, self._names, self._classes)
        best = int(np.argmax(result.scores))
        row = {"name": picture.name, "truth": result.name(index), "found": result.name(best)}
        row |= {"conf": float(result.scores[best]), "top1": best == index, "top5": in_top(result.scores, index, 5)}
        self._rows.append({**row, "groups": dict(picture.groups)})
        self._pictures.append(picture)

    def quality(self, model: str, failures: Mapping[str, str], options: Mapping[str, Any]) -> LabelQuality:
        """Return accuracies, with one table per group column."""
        rows = self._rows
        clusters = [picture.cluster or picture.name for picture in self._pictures]
        values: dict[str, float] = {}
        intervals: dict[str, Interval] = {}
        top1 = np.array([row["top1"] for row in rows], float)
        for name in ("top1", *(("top5",) if self._classes > 5 else ())):
            column = np.array([row[name] for row in rows], float)
            if len(column):
                values[name] = float(column.mean())
                found = interval(column, clusters)
                if found is not None:
                    intervals[name] = found
        classes = {}
        for label in dict.fromkeys(sorted(row["truth"] for row in rows)):
            own = np.array([row["truth"] == label for row in rows])
            classes[label] = {"pictures": float(own.sum()), "accuracy": float(top1[own].mean())}
        if classes:
            values["balanced"] = float(np.mean([entry["accuracy"] for entry in classes.values()]))
        tables = []
        for by in dict.fromkeys(key for picture in self._pictures for key in picture.groups):
            at = [i for i, picture in enumerate(self._pictures) if by in picture.groups]
            names = [self._pictures[i].groups[by] for i in at]
            tables.append(group_table(by, "top1", top1[at], names, [clusters[i] for i in at]))
        missing = {} if rows else {"top1": "no picture could be counted"}
        return LabelQuality(model, "classify", values, intervals, classes, tables, rows, failures, missing, options)
