"""A package's network as a server runs it: pictures in, controls at a fixed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgesr.compile.embed_io import Kind, embed_io
from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.compile.nodes import make_node, make_weight
from edgesr.errors import ModelError
from edgesr.model.descriptor import ModelDescriptor, Part
from edgesr.model.rules import NETWORK

SCORES = "scores"
"""Output of a classifier whose logits become scores in the graph."""


def served_graph(
    graph: Graph, descriptor: ModelDescriptor, kind: Kind, controls: Mapping[str, tuple[float, ...]]
) -> Graph:
    """Return the network that takes pictures ``(N, H, W, C)`` of ``kind`` alone.

    Restoration gives pictures of ``kind`` too; networks that label pictures keep their outputs, a classifier gets
    ``scores`` beside them. Every control is fixed at its value in ``controls``.
    """
    fixed = {tensor: controls[role] for role, tensor in _part(descriptor).inputs.items() if role in controls}
    graph = with_defaults(graph, fixed)
    part = _part(descriptor)
    kept = {role: tensor for role, tensor in part.inputs.items() if role not in controls}
    described = replace(descriptor, parts={**descriptor.parts, NETWORK: replace(part, inputs=kept)}, controls={})
    if descriptor.embedded_io is not None:
        return graph
    return embed_io(graph, described, kind) if descriptor.task == "restore" else _labelling(graph, described, kind)


def with_defaults(graph: Graph, values: Mapping[str, tuple[float, ...]]) -> Graph:
    """Return a graph whose inputs named in ``values`` need not be given.

    They stay inputs beside being initializers: no request holds them, and ONNX Runtime does not fold them into the
    weights, which would change the last bits. TensorRT takes them for constants.
    """
    if not values:
        return graph
    model = graph.copy()
    for name, vector in values.items():
        shape = tuple(max(n, 1) for n in graph.shapes[name])
        dtype = np.float16 if graph.types[name] == HALF else np.float32
        model.graph.initializer.append(make_weight(name, np.asarray(vector, dtype).reshape(shape)))
    return Graph(model, graph.source)


def _labelling(graph: Graph, descriptor: ModelDescriptor, kind: Kind) -> Graph:
    """Embed the picture alone, and put the scores of a classifier behind its logits."""
    part = _part(descriptor)
    image = part.inputs["image"]
    if len(graph.shapes.get(image, ())) != 4:
        raise ModelError(f"{graph.source}: its input {image!r} has no batch dimension; export it with one")
    inputs_only = replace(descriptor, parts={NETWORK: Part(part.file, part.sha256, part.inputs, {})})
    outputs = list(graph.model.graph.output)
    model = embed_io(graph, inputs_only, kind).copy()
    model.graph.output.extend(outputs)
    logits = part.outputs.get("logits", "")
    operator = {"softmax": "Softmax", "sigmoid": "Sigmoid"}.get(descriptor.prediction.activation)
    is_scored = descriptor.task == "classify" and operator is not None and len(graph.shapes.get(logits, ())) == 2
    if is_scored and operator is not None and graph.types[logits] == FLOAT and SCORES not in graph.types:
        axis = {"axis": 1} if operator == "Softmax" else {}
        model.graph.node.append(make_node(operator, [logits], [SCORES], "served_scores", **axis))
        scores = model.graph.output.add()
        scores.CopyFrom(next(value for value in outputs if value.name == logits))
        scores.name = SCORES
    return Graph(model, graph.source)


def _part(descriptor: ModelDescriptor) -> Part:
    return descriptor.parts[NETWORK]
