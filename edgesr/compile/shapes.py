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


def show_profile(profile: Profile) -> str:
    """Write the shapes of a profile, as a range where an input has one: ``image:1x1x64x64..1x1x512x512``."""
    parts = []
    for name, shapes in profile.items():
        least, most = ("x".join(map(str, shape)) for shape in (shapes.least, shapes.most))
        parts.append(f"{name}:{least}" if least == most else f"{name}:{least}..{most}")
    return ",".join(parts)


def fixed(shapes: Mapping[str, Shape]) -> dict[str, ShapeRange]:
    """Return the profile that takes exactly these shapes."""
    return {name: ShapeRange(shape, shape, shape) for name, shape in shapes.items()}


def ranged(least: Mapping[str, Shape], best: Mapping[str, Shape], most: Mapping[str, Shape]) -> dict[str, ShapeRange]:
    """Return the profile from the smallest to the largest shapes; an input without one of these has the usual one."""
    profile = {}
    for name in dict.fromkeys((*best, *least, *most)):
        if name not in best:
            raise UsageError(f"input {name!r} needs a usual shape; give it with --opt-shapes")
        shapes = ShapeRange(least.get(name, best[name]), best[name], most.get(name, best[name]))
        sides = list(zip(shapes.least, shapes.best, shapes.most, strict=False))
        ranks = {len(shape) for shape in (shapes.least, shapes.best, shapes.most)}
        if len(ranks) > 1 or not all(low <= middle <= high for low, middle, high in sides):
            written = " .. ".join("x".join(map(str, shape)) for shape in (shapes.least, shapes.best, shapes.most))
            raise UsageError(f"input {name!r}: shapes must not fall from least to largest, got {written}")
        profile[name] = shapes
    return profile


def is_static(profile: Profile) -> bool:
    """Tell whether every input has one shape."""
    return all(shapes.least == shapes.most for shapes in profile.values())


def fit_profile(profile: Profile, declared: Mapping[str, Shape | None], *, source: str) -> dict[str, ShapeRange]:
    """Return the profile of the dynamic inputs, -1 being a dynamic dimension; raise UsageError for shapes that miss.

    ``declared`` are the network's inputs. Shapes given for fixed inputs must be theirs.
    """
    unknown = [name for name in profile if name not in declared]
    if unknown:
        raise UsageError(f"{source}: has no input {unknown[0]!r}; its inputs are {', '.join(declared)}")
    fitted = {}
    for name, dims in declared.items():
        if dims is None:
            raise UsageError(f"{source}: input {name!r} has no known rank; export the network again")
        written = "x".join("?" if n < 0 else str(n) for n in dims)
        if name not in profile:
            if any(n < 0 for n in dims):
                example = "x".join("64" if n < 0 else str(n) for n in dims)
                raise UsageError(
                    f"{source}: input {name!r} has shape {written}; say its sizes, e.g. --shapes {name}:{example}"
                )
            continue
        shapes = profile[name]
        for shape in (shapes.least, shapes.best, shapes.most):
            if len(shape) != len(dims) or any(n not in (-1, m) for n, m in zip(dims, shape, strict=True)):
                given = "x".join(map(str, shape))
                raise UsageError(f"{source}: input {name!r} has shape {written}, got {given}")
        if any(n < 0 for n in dims):
            fitted[name] = shapes
    return fitted
