"""The shapes that ``edgesr build`` makes an engine for, out of its options."""

from __future__ import annotations

import argparse

from edgesr.compile.shapes import Profile, ShapeRange, fit_profile, fixed, parse_shapes, ranged
from edgesr.errors import UsageError
from edgesr.model import ModelPackage
from edgesr.model.label_rules import LABEL_TASKS, NETWORK
from edgesr.model.onnx_file import OnnxGraph
from edgesr.pipelines.compiled import tile_profile
from edgesr.pipelines.label_profile import label_profile

_SHAPES = ("shapes", "min_shapes", "opt_shapes", "max_shapes")


def choose_profile(
    arguments: argparse.Namespace, package: ModelPackage | None, graph: OnnxGraph, part: str = NETWORK
) -> Profile:
    """Return the shapes to build for, out of ``--tile``, ``--shapes`` or the range, else the package's own tile.

    ``graph`` is the network ``part`` of a package.
    """
    given = {name: parse_shapes(text) if (text := getattr(arguments, name)) else {} for name in _SHAPES}
    range_given = any(given[name] for name in _SHAPES[1:])
    if bool(given["shapes"]) + range_given + (arguments.tile is not None) > 1:
        raise UsageError("give one of --tile, --shapes, or --min-shapes with --opt-shapes and --max-shapes")
    profile: Profile = (
        _packages(package, arguments, part, is_given=bool(given["shapes"]) or range_given) if package else {}
    )
    if arguments.dla is not None:  # which takes one shape for each input
        profile = fixed({name: shapes.most for name, shapes in profile.items()})
    if package is None and arguments.tile is not None:
        profile = _square(graph, arguments.tile)
    if given["shapes"]:
        profile = {**profile, **fixed(given["shapes"])}
    if range_given:
        profile = {**profile, **ranged(given["min_shapes"], given["opt_shapes"], given["max_shapes"])}
    declared = {tensor.name: tensor.shape for tensor in graph.inputs}
    return fit_profile(profile, declared, source=arguments.onnx or arguments.model)


def _packages(package: ModelPackage, arguments: argparse.Namespace, part: str, *, is_given: bool) -> Profile:
    """Return the shapes that `edgesr run` would compile a package for; of one that labels pictures, unless given."""
    if package.descriptor.task not in LABEL_TASKS:
        return tile_profile(package, arguments.tile)
    if arguments.tile is not None:
        raise UsageError(f"--tile is for restoration; model {package.descriptor.name} has one size, or give --shapes")
    return {} if is_given else label_profile(package, part)


def _square(graph: OnnxGraph, side: int) -> dict[str, ShapeRange]:
    """Return the profile of a network whose dynamic inputs of four dimensions are pictures, NCHW, one at a time."""
    shapes = {}
    for tensor in graph.inputs:
        dims = tensor.shape or ()
        if any(n < 0 for n in dims):
            sides = dict.fromkeys((2, 3), side) if len(dims) == 4 else {}
            shapes[tensor.name] = tuple(sides.get(axis, 1) if n < 0 else n for axis, n in enumerate(dims))
    return fixed(shapes)
