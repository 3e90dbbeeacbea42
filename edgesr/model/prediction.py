"""How pictures are made to fit a network that labels them, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["short-side", "exact", "fit", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True)
class Resize:
    """How a picture is brought to the size of a network, before it is cropped.

    ``short-side`` scales until the shorter side is ``size[0]`` (torchvision's ``Resize``), ``exact`` to height and
    width ``size`` whatever the shape was, ``fit`` until the shorter side is ``size[0]`` and the longer at most
    ``longest`` (torchvision's detection models), ``letterbox`` into ``size``, keeping the shape, the rest filled.
    """

    rule: Rule
    size: tuple[int, ...]
    longest: int | None = None
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    """True computes as Pillow does, False as ``torch.nn.functional.interpolate`` does without antialias."""
    align: Literal["center", "corner"] = "center"
    """Where a letterboxed picture lies; ``corner`` is the upper left."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Resize:
        """Return the typed form of an object that satisfies the schema."""
        longest = document.get("longest")
        size = tuple(int(side) for side in document["size"])
        return cls(**{**document, "size": size, "longest": None if longest is None else int(longest)})


@dataclass(frozen=True)
class Proposals:
    """How a two-stage detector such as Faster R-CNN goes from its first network to its second.

    The first gives ``objectness`` ``(1, n)``, ``deltas`` ``(1, n, 4)`` and ``features`` ``(1, C, h, w)``; from them
    regions are chosen, whose features the second takes as ``crops`` ``(k, C, pooled, pooled)``.
    """

    anchors: tuple[tuple[tuple[float, ...], ...], ...]
    """For each level the boxes around a cell's centre, x1, y1, x2, y2 in pixels of the network's input."""
    strides: tuple[int, ...]
    """Of each level, in pixels."""
    stride: int
    """Of ``features``, in pixels."""
    pooled: int = 7
    """Cells on each side of a crop."""
    samples: int = 2
    """Points on each side of such a cell whose mean it is."""
    score: float = 0.0
    """Objectness in [0, 1] that a region needs."""
    nms: float = 0.7
    """Of two regions of a level whose intersection over union is above it the worse is dropped."""
    before: int = 1000
    """Regions of each level that are compared with each other at most."""
    most: int = 1000
    """Regions that go to the second network at most."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Proposals:
        """Return the typed form of an object that satisfies the schema."""
        anchors = tuple(tuple(tuple(float(x) for x in box) for box in level) for level in document["anchors"])
        strides = tuple(int(stride) for stride in document["strides"])
        whole = {
            key: int(document[key]) for key in ("stride", "pooled", "samples", "before", "most") if key in document
        }
        return cls(**{**document, **whole, "anchors": anchors, "strides": strides})


@dataclass(frozen=True)
class Prediction:
    """What the outputs of a network that labels pictures mean, and the thresholds that hold unless a user gives others.

    Roles of outputs: classify ``logits``; segment ``logits`` or ``mask``; detect ``boxes`` with ``scores`` and
    ``labels``, ``boxes`` with ``scores``, ``predictions``, or what ``proposals`` need.
    """

    activation: Literal["softmax", "sigmoid", "none"] = "none"
    """What makes scores in [0, 1] of ``logits``, ``scores`` or ``predictions``; ``none`` if the network did."""
    boxes: Literal["xyxy", "cxcywh"] = "xyxy"
    unit: Literal["pixels", "relative"] = "pixels"
    """Of the boxes: pixels of the network's input, or fractions of its sides."""
    objectness: bool = False
    """Whether ``predictions`` hold a score of being an object before those of the classes."""
    background: int | None = None
    """The class that stands for nothing."""
    score: float = 0.5
    """Boxes, and pixels of a segmentation with one channel, need a score above it."""
    nms: float | None = None
    """Of two boxes of a class whose intersection over union is above it the worse is dropped; None keeps both."""
    most: int = 300
    """Boxes returned at most, the best ones."""
    top_k: int = 5
    """Classes shown of a classification."""
    proposals: Proposals | None = None
    """Of a two-stage detector."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Prediction:
        """Return the typed form of an object that satisfies the schema."""
        whole = {key: int(document[key]) for key in ("most", "top_k") if key in document}
        if document.get("background") is not None:
            whole["background"] = int(document["background"])
        between = document.get("proposals")
        return cls(**{**document, **whole, "proposals": None if between is None else Proposals.from_json(between)})
