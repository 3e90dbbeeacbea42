"""What the pipelines that label pictures return for one picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesr.errors import InputError
from edgesr.image import Metadata, Picture, write
from edgesr.image.draw import draw_boxes, draw_lines, draw_mask
from edgesr.types import Array, FloatArray


@dataclass(frozen=True)
class LabelResult(ABC):
    """One picture with what a network found in it."""

    names: tuple[str, ...]
    """Names of all classes; empty where the package has none."""
    timings: Mapping[str, float]
    """Milliseconds: ``pre``, ``h2d``, ``infer``, ``d2h``, ``post`` and ``total``; of a chain also ``restore``."""
    meta: Mapping[str, Any]
    """``source``, ``task``, ``model``, ``version``, ``device`` and the thresholds."""
    picture: Array = field(repr=False)
    """What was labelled, ``(H, W, C)`` in RGB order; of a chain the restored picture."""
    metadata: Metadata = field(repr=False)

    @abstractmethod
    def predictions(self) -> dict[str, Any]:
        """Return what was found as plain JSON data."""

    @abstractmethod
    def overlay(self) -> npt.NDArray[np.uint8]:
        """Return the picture with what was found drawn on it, uint8 ``(H, W, 3)`` in RGB order."""

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON data: ``predictions()``, ``size`` as [height, width], timings and meta."""
        h, w = self.picture.shape[:2]
        return {**self.meta, "size": [h, w], **self.predictions(), "timings": dict(self.timings)}

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the picture with what was found drawn on it; the suffix gives the format."""
        return _write(path, self.overlay(), **options)

    def name(self, index: int) -> str:
        """Return the name of a class, ``class N`` where the package has none."""
        return self.names[index] if index < len(self.names) else f"class {index}"


@dataclass(frozen=True)
class Classification(LabelResult):
    """The classes of one picture."""

    scores: FloatArray
    """Score of every class, float32 ``(classes,)`` in [0, 1], or the network's own numbers where they are no such."""

    def top(self, k: int | None = None) -> list[tuple[int, str, float]]:
        """Return index, name and score of the ``k`` best classes, best first; None for the number in ``meta``."""
        count = self.meta["top_k"] if k is None else k
        best = np.argsort(-self.scores, kind="stable")[:count]
        return [(int(i), self.name(int(i)), float(self.scores[i])) for i in best]

    def predictions(self) -> dict[str, Any]:
        """Return the best classes: ``[{"cls", "name", "conf"}, ...]``."""
        return {"classes": [{"cls": i, "name": name, "conf": conf} for i, name, conf in self.top()]}

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Return the picture with the best classes written on it, uint8 ``(H, W, 3)``."""
        return draw_lines(self.picture, [f"{name} {conf:.2f}" for _, name, conf in self.top()])


@dataclass(frozen=True)
class Segmentation(LabelResult):
    """The class of every pixel of one picture."""

    mask: Array
    """Class of every pixel, uint8 ``(H, W)``, uint16 for more than 256 classes."""
    scores: FloatArray | None
    """Score of that class, float32 ``(H, W)`` in [0, 1]; None where the network gives the mask alone."""

    def areas(self) -> dict[str, float]:
        """Return the share of the picture that each class covers, largest first, without those that are absent."""
        counts = np.bincount(self.mask.reshape(-1))
        found = sorted(np.flatnonzero(counts), key=lambda i: -counts[i])
        return {self.name(int(i)): float(counts[i] / self.mask.size) for i in found}

    def predictions(self) -> dict[str, Any]:
        """Return the share of the picture that each class covers; the mask itself is a picture, see ``save_mask``."""
        return {"areas": self.areas()}

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Return the picture with every class but the first tinted and named, uint8 ``(H, W, 3)``."""
        return draw_mask(self.picture, self.mask, self.name)

    def save_mask(self, path: str | Path) -> Path:
        """Write the mask as a grey picture whose pixels are the numbers of the classes."""
        return _write(path, self.mask[..., np.newaxis])


@dataclass(frozen=True)
class Detections(LabelResult):
    """The objects in one picture, best first."""

    xyxy: FloatArray
    """Boxes as x1, y1, x2, y2, float32 ``(n, 4)`` in pixels of ``picture``."""
    conf: FloatArray
    """Scores, float32 ``(n,)`` in [0, 1]."""
    cls: npt.NDArray[np.int64]
    """Classes, int64 ``(n,)``."""

    def __len__(self) -> int:
        return len(self.conf)

    def predictions(self) -> dict[str, Any]:
        """Return the boxes: ``[{"xyxy", "conf", "cls", "name"}, ...]``."""
        rows = zip(self.xyxy.tolist(), self.conf.tolist(), self.cls.tolist(), strict=True)
        return {"boxes": [{"xyxy": box, "conf": conf, "cls": i, "name": self.name(i)} for box, conf, i in rows]}

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Return the picture with named boxes, uint8 ``(H, W, 3)``."""
        texts = [f"{self.name(int(i))} {conf:.2f}" for i, conf in zip(self.cls, self.conf, strict=True)]
        return draw_boxes(self.picture, self.xyxy, [int(i) for i in self.cls], texts)


def _write(path: str | Path, pixels: Array, **options: Any) -> Path:
    target = Path(path)
    if not target.suffix:
        raise InputError(f"{target}: give a suffix that names the format, e.g. {target.name}.png")
    write(target, Picture((pixels,), Metadata(format="PNG")), **options)
    return target
