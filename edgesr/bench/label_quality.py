"""Run a network that labels pictures over a data set and count how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgesr.bench.metrics.groups import GroupTable
from edgesr.bench.metrics.intervals import Interval
from edgesr.bench.pairs import read_picture
from edgesr.errors import EdgesrError, InputError
from edgesr.image import from_float, to_float
from edgesr.image.resample import Kernel, downscale
from edgesr.types import Array

Label = Callable[[Array], Any]
"""A pipeline that labels pictures, or a chain: gives a LabelResult for ``(H, W, C)``."""
Shrink = tuple[Kernel, int]
"""A downscaler and the whole factor by which it makes pictures smaller."""


@dataclass(frozen=True)
class LabelledPicture:
    """One picture of a data set."""

    path: Path
    name: str
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    """Whom it shows; pictures of one patient are drawn together for intervals."""
    label: str | None = None
    """Class as it is written in the table of labels."""


@dataclass(frozen=True)
class LabelQuality:
    """The figures of one model on a data set."""

    model: str
    task: str
    values: Mapping[str, float]
    """``top1``, ``top5`` and ``balanced``; ``miou`` and ``pixel_accuracy``; or COCO's ``map``, ``map_50``, ..."""
    intervals: Mapping[str, Interval]
    classes: Mapping[str, Mapping[str, float]]
    """Per class: ``pictures`` and ``accuracy``; ``iou``; or ``boxes`` and ``ap``."""
    tables: Sequence[GroupTable]
    rows: Sequence[Mapping[str, Any]]
    """What was found in each picture."""
    failures: Mapping[str, str]
    missing: Mapping[str, str]
    """Figures that could not be computed, with the reason."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {
            "model": self.model,
            "task": self.task,
            "options": {**self.options, "pictures": len(self.rows), "failed": len(self.failures)},
            "values": dict(self.values),
            "interval": {name: [value.low, value.high] for name, value in self.intervals.items()},
            "classes": {name: dict(values) for name, values in self.classes.items()},
            "groups": [table.document() for table in self.tables],
            "missing": dict(self.missing),
            "failures": dict(self.failures),
            "pictures": [dict(row) for row in self.rows],
        }


class Counter(Protocol):
    """Compares results with the truth, picture by picture."""

    def check(self, picture: LabelledPicture) -> Any:
        """Return what is true of a picture, before it is labelled; raise InputError where that is not known."""

    def add(self, picture: LabelledPicture, truth: Any, result: Any, size: tuple[int, int]) -> None:
        """Count the result of one picture; ``size`` is the ``(h, w)`` that was labelled or shrunk of it."""

    def quality(self, model: str, failures: Mapping[str, str], options: Mapping[str, Any]) -> LabelQuality:
        """Return the figures of all that was counted."""


def measure_labels(
    model: str,
    label: Label,
    pictures: Sequence[LabelledPicture],
    counter: Counter,
    *,
    shrink: Shrink | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> LabelQuality:
    """Label every picture and compare with the truth; what fails is told to ``note`` and kept in ``failures``.

    ``shrink`` makes pictures smaller first, by a downscaler and a whole factor, for chains that enlarge them again.
    """
    failures: dict[str, str] = {}
    counted = 0
    for picture in pictures:
        try:
            truth = counter.check(picture)
            pixels, size = read_shrunk(picture.path, shrink)
            counter.add(picture, truth, label(pixels), size)
            counted += 1
        except EdgesrError as error:
            if not isinstance(error, InputError) and not counted:
                raise
            failures[picture.name] = str(error)
            note(f"{picture.name}: {error}")
    options = {"shrunk_by": {"kernel": shrink[0], "scale": shrink[1]} if shrink else None}
    return counter.quality(model, failures, options)


def read_shrunk(path: Path, shrink: Shrink | None = None) -> tuple[Array, tuple[int, int]]:
    """Read a picture, made smaller where that is asked for; return it with the ``(h, w)`` that was made of the file.

    What does not divide is cut at the right and the bottom.
    """
    pixels = read_picture(path)
    if shrink is None:
        return pixels, (pixels.shape[0], pixels.shape[1])
    kernel, factor = shrink
    height, width = (side // factor * factor for side in pixels.shape[:2])
    if not height or not width:
        raise InputError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be made {factor} x smaller")
    small = downscale(to_float(pixels[:height, :width]), factor, kernel)
    return from_float(small, pixels.dtype), (height, width)
