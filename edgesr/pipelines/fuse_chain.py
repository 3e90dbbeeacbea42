"""A restoration and the task behind it as one graph: what stands between them becomes part of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.checks import check_network
from edgesr.compile.graph import Graph
from edgesr.compile.join import Assembly, aligned, dimensions_of
from edgesr.engines import open_backend
from edgesr.errors import AccuracyError, ModelError, UsageError
from edgesr.model.chain import check_stages
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage, open_package, verify
from edgesr.model.writer import write_package
from edgesr.pipelines.between import Between, between
from edgesr.pipelines.controls import Vector, resolve_controls, show_controls
from edgesr.pipelines.prepare import normalised, prepare
from edgesr.types import Array, FloatArray

TOLERANCE = 1e-4
"""Largest difference from the two networks run one after the other, as a fraction of an output's largest value."""
_FILE = f"{NETWORK}.onnx"
_QUANTUM = 1 / 255
"""Grey-level step of the pictures that restorations with such an input are told of: that of 8 bits."""
_TRIAL = 48
"""Sides in pixels at which graphs of any size are tried."""


def fuse_chain(
    path: str | Path,
    restore: ModelPackage,
    task: ModelPackage,
    *,
    name: str,
    version: str,
    size: tuple[int, int] | None = None,
    controls: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ModelPackage:
    """Write one package of ``task`` whose graph begins with ``restore``, compare it with the two, and open it.

    ``size`` is the fixed ``(height, width)`` of the pictures before the restoration; without it that of the networks
    counts, and where they have none the graph takes any. ``controls`` are values of the restoration's controls, which
    are fixed in the graph; ``say`` is told of those that a chain would decide by picture. Raise UsageError for what
    only a chain of two engines can do, AccuracyError where the graph differs from the two networks.
    """
    check_stages(restore.descriptor, task.descriptor, str(path))
    first, second = restore.descriptor, task.descriptor
    _check_first(restore)
    _check_second(task)
    size = _size(first, second, size)
    steps = between(first, second, size)
    fixed = _fixed(first, controls or {}, say)
    graph = _graph(restore, task, steps, size, fixed)
    check_network(graph)
    _compare(graph, restore, task, size or (_TRIAL, _TRIAL), fixed)
    descriptor = ModelDescriptor.from_json(
        _document(restore, task, size, fixed, name=name, version=version), source=str(path)
    )
    contents: dict[str, Path | bytes] = {
        part.file: task.read(part.file) for key, part in second.parts.items() if key != NETWORK
    }
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        file = Path(folder) / _FILE
        file.write_bytes(graph.bytes())
        contents[second.parts[NETWORK].file] = file
        package = open_package(write_package(path, descriptor, contents))
    verify(package)
    return package


def _check_first(package: ModelPackage) -> None:
    descriptor = package.descriptor
    part = descriptor.parts.get(NETWORK)
    if descriptor.task != "restore" or part is None:
        raise UsageError(f"model {descriptor.name}: is no single network; chain it without --fused")
    if descriptor.input.color == "y" or descriptor.input_channels not in (1, 3):
        raise UsageError(f"model {descriptor.name}: restores luma or transparency alone; chain it without --fused")
    _check_layout(descriptor)


def _check_second(package: ModelPackage) -> None:
    descriptor = package.descriptor
    if descriptor.scale != 1:
        raise UsageError(f"model {descriptor.name}: begins with a restoration already")
    _check_layout(descriptor)


def _check_layout(descriptor: ModelDescriptor) -> None:
    expects = descriptor.input
    if expects.layout != "NCHW" or expects.dtype != "float32":
        raise UsageError(
            f"model {descriptor.name}: takes {expects.layout} {expects.dtype}; fuse the NCHW float32 form, and lower "
            "the precision of the result with edgesr build"
        )


def _size(first: ModelDescriptor, second: ModelDescriptor, asked: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the size of pictures before the restoration, None for any."""
    own, scale = first.size.fixed, first.scale
    if asked is None and own is None and second.size.fixed is not None:
        h, w = second.size.fixed
        asked = (h // scale, w // scale)
    if own is not None and asked not in (None, own):
        assert asked is not None
        raise UsageError(
            f"model {first.name} takes {own[0]}x{own[1]} alone, not {asked[0]}x{asked[1]}; export it with another "
            "--tile"
        )
    size = asked or own
    needs = first.size
    if size is not None and own is None and any(n % needs.multiple or n < needs.minimum for n in size):
        raise UsageError(
            f"model {first.name} takes sides that are multiples of {needs.multiple} and at least {needs.minimum}, got "
            f"{size[0]}x{size[1]}; say another with --size"
        )
    return size


def _fixed(first: ModelDescriptor, given: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, Vector]:
    """Return the values of all inputs beside the picture, by role."""
    values: dict[str, Vector] = {}
    for name, value in resolve_controls(first, given).items():
        values[name] = first.controls[name].default if value is None else value
        if value is None:
            chosen = show_controls(first, {name: values[name]})[name]
            say(f"{name} is {chosen} for every picture, where a chain of two looks at each; change it with --set")
    roles = first.parts[NETWORK].inputs
    return {role: (_QUANTUM,) if role == "quantum" else values[role] for role in roles if role != "image"}


def _graph(
    restore: ModelPackage,
    task: ModelPackage,
    steps: Between,
    size: tuple[int, int] | None,
    fixed: Mapping[str, Vector],
) -> Graph:
    first, second = restore.descriptor.parts[NETWORK], task.descriptor.parts[NETWORK]
    parts = [Graph.read(package.part_path(NETWORK), source=package.descriptor.name) for package in (restore, task)]
    graphs = aligned(parts)
    add = Assembly(f"{restore.descriptor.name}+{task.descriptor.name}", graphs)
    dimensions = dimensions_of(graphs[0], first.inputs["image"])
    if size is not None:
        dimensions = [1, restore.descriptor.input_channels, *size]
    picture = add.input("image", dimensions)
    feeds = {first.inputs["image"]: picture}
    for role, vector in fixed.items():
        tensor = first.inputs[role]
        values = np.array(vector, np.float32).reshape([max(n, 1) for n in graphs[0].shapes[tensor]])
        feeds[tensor] = add.constant(f"restore/{role}", values)
    enlarged = add.add(graphs[0], feeds, weights="restore/", copy="restore/")
    prepared = steps.add(add, enlarged[first.outputs["image"]])
    found = add.add(graphs[1], {second.inputs["image"]: prepared}, weights="task/", copy="task/")
    for tensor in second.outputs.values():
        sizes = dimensions_of(graphs[1], tensor)
        sizes = [n if isinstance(n, int) or size is None else f"{tensor}_{axis}" for axis, n in enumerate(sizes)]
        if sizes and size is not None and isinstance(sizes[0], str):
            sizes[0] = 1
        add.output(tensor, found[tensor], sizes, graphs[1].types[tensor])
    return add.graph()


def _document(
    restore: ModelPackage,
    task: ModelPackage,
    size: tuple[int, int] | None,
    fixed: Mapping[str, Vector],
    *,
    name: str,
    version: str,
) -> dict[str, Any]:
    """Return model.json: the picture as the restoration takes it, everything else as the task says."""
    import json

    first = json.loads(restore.descriptor.to_json())
    second = json.loads(task.descriptor.to_json())
    expects = {key: value for key, value in first.get("input", {}).items() if key not in ("resize", "crop")}
    if size is not None:
        expects["resize"] = {"rule": "exact", "size": list(size)}
    part = second["parts"][NETWORK]
    shown = show_controls(restore.descriptor, {role: v for role, v in fixed.items() if role != "quantum"})
    settings = ", ".join(f"{role} {value}" for role, value in shown.items())
    kept = {key: second[key] for key in ("labels", "prediction", "licence", "intended_use") if key in second}
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "task": second["task"],
        "parts": {**second["parts"], NETWORK: {**part, "inputs": {"image": "image"}}},
        "scale": restore.descriptor.scale,
        "input_channels": restore.descriptor.input_channels,
        "input": expects,
        "size": {"fixed": list(size)} if size else first.get("size", {}),
        "description": f"{first['name']} {first['version']}{settings and f' ({settings})'} in front of "
        f"{second['name']} {second['version']}",
        **kept,
    }


def _compare(
    graph: Graph, restore: ModelPackage, task: ModelPackage, size: tuple[int, int], fixed: Mapping[str, Vector]
) -> None:
    """Raise AccuracyError where the graph gives something else than the two networks with the host between them."""
    first, second = restore.descriptor, task.descriptor
    rng, c = np.random.default_rng(0), first.input_channels
    coarse = np.repeat(np.repeat(rng.random((-(-size[0] // 8), -(-size[1] // 8), c)), 8, axis=0), 8, axis=1)
    pixels = (0.9 * coarse[: size[0], : size[1]] + 0.1 * rng.random((*size, c))).astype(np.float32)
    values = normalised(pixels, first.input).transpose(2, 0, 1)[np.newaxis]
    roles = first.parts[NETWORK].inputs
    feeds = {roles["image"]: values, **{roles[role]: np.array(vector) for role, vector in fixed.items()}}
    image = _run(restore.part_path(NETWORK), feeds)
    low, high = first.output_range
    restored = np.clip((image[first.parts[NETWORK].outputs["image"]] - low) / (high - low), 0, 1)[0]
    colors: FloatArray = np.ascontiguousarray(restored.transpose(1, 2, 0), np.float32)
    prepared, _ = prepare(second, colors[..., ::-1] if first.input.color == "bgr" else colors)
    tensor = second.parts[NETWORK].inputs["image"]
    expected = _run(task.part_path(NETWORK), {tensor: prepared.transpose(2, 0, 1)[np.newaxis]})
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        file = Path(folder) / _FILE
        file.write_bytes(graph.bytes())
        got = _run(file, {"image": values})
    for role, output in second.parts[NETWORK].outputs.items():
        a, b = got[output].astype(np.float64), expected[output].astype(np.float64)
        apart = np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-9) if a.shape == b.shape else np.inf
        if not apart <= TOLERANCE:
            raise AccuracyError(
                f"{role} of the fused graph differs from the two networks by {apart:.3g} of its largest value; at most "
                f"{TOLERANCE:g} is allowed"
            )


def _run(file: Path, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    backend = open_backend("cpu")
    try:
        engine = backend.load(file)
        buffers = {}
        for tensor, values in feeds.items():
            spec = engine.inputs[tensor]
            array = np.ascontiguousarray(values, np.float32)
            if array.ndim == 1:
                array = array.reshape([max(n, 1) for n in spec.shape])
            if not spec.accepts(array.shape):
                raise ModelError(f"{file.name}: takes {spec.shape}, got {array.shape}")
            buffers[tensor] = backend.empty(array.shape, array.dtype)
            buffers[tensor].copy_from(array)
        return {name: np.array(value.numpy()) for name, value in engine.run(buffers).items()}
    finally:
        backend.close()
