"""Input shapes an engine is built for, in trtexec's syntax: ``name:1x3x64x64,other:1``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgesr.errors import UsageError

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """The smallest, the usual and the largest shape of one input; TensorRT tunes for the usual one."""

    least: Shape
    best: Shape
    most: Shape


Profile: TypeAlias = Mapping[str, ShapeRange]
"""Input name to its shapes."""


def parse_shapes(text: str) -> dict[str, Shape]:
    """Read ``name:1x3x64x64,other:1``; a name may hold colons and be quoted, the last colon counts."""
    shapes: dict[str, Shape] = {}
    for part in text.split(","):
        name, colon, numbers = part.strip().rpartition(":")
        name = name.strip().strip("'\"")
        if not (colon and name and re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", numbers.strip())):
            raise UsageError(f"expected shapes such as image:1x3x64x64, got {part.strip()!r}")
        if name in shapes:
            raise UsageError(f"input {name!r} has two shapes in {text!r}; give one")
        shapes[name] = tuple(int(number) for number in numbers.split("x"))
    return shapes


def show_shapes(shapes: Mapping[str, Shape]) -> str:
    """Write shapes as ``parse_shapes`` reads them."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def fixed(shapes: Mapping[str, Shape]) -> dict[str, ShapeRange]:
    """Return the profile that takes exactly these shapes."""
    return {name: ShapeRange(shape, shape, shape) for name, shape in shapes.items()}


def ranged(least: Mapping[str, Shape], best: Mapping[str, Shape], most: Mapping[str, Shape]) -> dict[str, ShapeRange]:
    """Return the profile from the smallest to the largest shapes; every input must be in all three."""
    profile = {}
    for name in dict.fromkeys((*least, *best, *most)):
        if not (name in least and name in best and name in most):
            raise UsageError(f"input {name!r} needs a least, an optimal and a largest shape")
        shapes = ShapeRange(least[name], best[name], most[name])
        sides = list(zip(shapes.least, shapes.best, shapes.most, strict=False))
        ranks = {len(shape) for shape in (shapes.least, shapes.best, shapes.most)}
        if len(ranks) > 1 or not all(low <= middle <= high for low, middle, high in sides):
            written = " .. ".join("x".join(map(str, shape)) for shape in (shapes.least, shapes.best, shapes.most))
            raise UsageError(f"input {name!r}: shapes must not fall from least to largest, got {written}")
        profile[name] = shapes
    return profile
