"""Count right boxes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgesr.bench.annotations import Annotations, Box, true_boxes
from edgesr.bench.label_quality import LabelledPicture, LabelQuality
from edgesr.bench.metrics.boxes import FoundBoxes, Precision, TrueBoxes, coco_precision
from edgesr.bench.metrics.groups import Group, GroupTable, in_order
from edgesr.errors import BackendError, ModelError


class BoxCounter:
    """Collects boxes and computes COCO's average precision of them at the end."""

    def __init__(self, names: Sequence[str], annotations: Annotations) -> None:
        if not names:
            raise ModelError("the model's package has no class names to compare boxes by; pack it with some")
        self._names = names
        self._annotations = annotations
        self._truth: list[TrueBoxes] = []
        self._found: list[FoundBoxes] = []
        self._pictures: list[LabelledPicture] = []

    def check(self, picture: LabelledPicture) -> list[Box]:
        """Return the boxes that were drawn on a picture."""
        boxes = self._annotations.boxes(picture.path)
        true_boxes(boxes, self._names)
        return boxes

    def add(self, picture: LabelledPicture, truth: Sequence[Box], result: Any, size: tuple[int, int]) -> None:
        """Add one picture; a chain finds boxes in its enlarged picture, where the drawn ones are enlarged too."""
        self._truth.append(true_boxes(truth, self._names, result.picture.shape[0] / size[0]))
        self._found.append(FoundBoxes(result.xyxy, result.conf, result.cls))
        self._pictures.append(picture)

    def quality(self, model: str, failures: Mapping[str, str], options: Mapping[str, Any]) -> LabelQuality:
        """Return COCO's average precision of all pictures, of each class, and of each group.

        Precision is no mean over pictures, so that it has no interval and groups are compared by its value alone.
        """
        rows = [
            {"name": p.name, "boxes": len(t.cls), "found": len(f.cls), "groups": dict(p.groups)}
            for p, t, f in zip(self._pictures, self._truth, self._found, strict=True)
        ]
        try:
            whole = self._precision(range(len(rows)))
            parts = self._groups()
        except BackendError as error:
            none = {"map": str(error)}
            return LabelQuality(model, "detect", {}, {}, {}, [], rows, failures, none, options)
        numbers = Counter(int(k) for boxes in self._truth for k in boxes.cls[~boxes.ignored])
        classes = {self._names[k]: {"boxes": float(numbers[k]), "ap": value} for k, value in whole.classes.items()}
        missing = {} if whole.values else {"map": "no picture with boxes could be counted"}
        return LabelQuality(model, "detect", whole.values, {}, classes, parts, rows, failures, missing, options)

    def _precision(self, at: Sequence[int]) -> Precision:
        return coco_precision([self._truth[i] for i in at], [self._found[i] for i in at], len(self._names))

    def _groups(self) -> list[GroupTable]:
        tables = []
        for by in dict.fromkeys(key for picture in self._pictures for key in picture.groups):
            found: dict[str, list[int]] = {}
            for i, picture in enumerate(self._pictures):
                if by in picture.groups:
                    found.setdefault(picture.groups[by], []).append(i)
            values = {
                name: self._precision(at).values.get("map", math.nan)
                for name, at in ((n, found[n]) for n in in_order(found))
            }
            known = [value for value in values.values() if not math.isnan(value)]
            if not known:
                continue
            average = sum(known) / len(known)
            groups = {
                name: Group(
                    pictures=len(found[name]),
                    clusters=len({self._pictures[i].cluster or self._pictures[i].name for i in found[name]}),
                    value=value,
                    interval=None,
                    ratio=value / average if average else None,
                )
                for name, value in values.items()
                if not math.isnan(value)
            }
            overall = self._precision([i for at in found.values() for i in at]).values["map"]
            tables.append(GroupTable(by, "map", groups, average, overall, max(known) - min(known), None))
        return tables
