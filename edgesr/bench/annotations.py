"""The boxes that people drew: COCO's JSON and Pascal VOC's XML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.bench.labels_file import class_index
from edgesr.bench.metrics.boxes import TrueBoxes
from edgesr.errors import InputError
from edgesr.image.source import shown


@dataclass(frozen=True)
class Box:
    """One object: corners in pixels from the picture's top left corner, and the name of its class."""

    xyxy: tuple[float, float, float, float]
    name: str
    ignored: bool
    area: float | None = None
    """What COCO's sizes go by, of the object's outline where the file has one; None for the area of the box."""


class Annotations:
    """Boxes by picture, from a COCO ``.json`` file or a folder of VOC ``.xml`` files.

    VOC counts pixels from 1 and includes the last one, so that its boxes grow by one pixel to the left and the top.
    COCO's crowds and VOC's difficult objects are ignored in the count.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._coco = None if self.path.is_dir() else _read_coco(self.path)

    def boxes(self, picture: Path) -> list[Box]:
        """Return the boxes of a picture; raise InputError where there is no annotation of it."""
        if self._coco is None:
            return _read_voc(self.path / f"{picture.stem}.xml")
        found = self._coco.get(picture.name)
        if found is None:
            raise InputError(f"{shown(self.path)} does not name {picture.name}")
        return found


def true_boxes(boxes: Iterable[Box], names: Sequence[str], scale: float = 1.0) -> TrueBoxes:
    """Return boxes with the model's class numbers, times ``scale``; raise InputError for a class it does not know."""
    boxes = list(boxes)
    return TrueBoxes(
        np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4) * scale,
        np.array([class_index(box.name, names, len(names)) for box in boxes], np.int64),
        np.array([box.ignored for box in boxes], bool),
        np.array([math.nan if box.area is None else box.area for box in boxes], np.float64) * scale**2,
    )


def _read_coco(path: Path) -> dict[str, list[Box]]:
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
        files = {entry["id"]: Path(entry["file_name"]).name for entry in document["images"]}
        boxes: dict[str, list[Box]] = {name: [] for name in files.values()}
        if len(boxes) < len(files):
            twice = next(name for name in boxes if list(files.values()).count(name) > 1)
            raise ValueError(f"two pictures are called {twice}; give one folder's pictures at a time")
        for entry in document["annotations"]:
            boxes[files[entry["image_id"]]].append(_coco_box(entry, names))
    except OSError as error:
        raise InputError(f"{shown(path)}: the annotations cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise InputError(f"{shown(path)}: is no COCO file of boxes; {error} is missing in it") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{shown(path)}: is no COCO file of boxes: {error}") from None
    return boxes


def _coco_box(entry: Mapping[str, Any], names: Mapping[Any, str]) -> Box:
    x, y, width, height = (float(value) for value in entry["bbox"])
    area = entry.get("area")
    return Box(
        (x, y, x + width, y + height),
        names[entry["category_id"]],
        bool(entry.get("iscrowd", 0)),
        None if area is None else float(area),
    )


def _read_voc(path: Path) -> list[Box]:
    from xml.etree import ElementTree

    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{shown(path)}: the annotation cannot be read: {error.strerror or error}") from None
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise InputError(f"{shown(path)}: declares a document type, which VOC annotations do not")
    try:
        return [_voc_box(entry) for entry in ElementTree.fromstring(text).iter("object")]
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{shown(path)}: is no VOC annotation: {error}") from None


def _voc_box(entry: Any) -> Box:
    words = {name: entry.findtext(name) for name in ("name", "difficult")}
    sides = [entry.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if words["name"] is None or None in sides:
        raise ValueError("an object lacks its name or a side of its bndbox")
    left, top, right, bottom = (float(side) for side in sides)
    return Box((left - 1, top - 1, right, bottom), words["name"].strip(), (words["difficult"] or "0").strip() == "1")
