"""Whether a restoration and a task as one graph give what the two networks give with the host between them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgesr.compile.graph import Graph
from edgesr.engines import open_backend
from edgesr.errors import AccuracyError, ModelError
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage
from edgesr.pipelines.controls import Vector
from edgesr.pipelines.prepare import normalised, prepare
from edgesr.types import Array, FloatArray

TOLERANCE = 1e-4
"""Largest difference from the two networks run one after the other, as a fraction of an output's largest value."""


def compare_with_two(
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
        file = Path(folder) / f"{NETWORK}.onnx"
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
