"""A restoration network from picture to picture: what the runtime does before and after it becomes part of the graph.

The nodes do in float32 what ``edgesr.image.convert`` and ``edgesr.pipelines.network`` do, in the same order, so that
the grey levels are the same. The clip comes before the multiplication to grey levels, which changes no result and
keeps runtimes from merging the factor into the weights of the last convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgesr.compile.graph import Graph, with_opset
from edgesr.compile.nodes import make_node, make_weight
from edgesr.compile.shapes import Profile, ShapeRange
from edgesr.errors import ModelError
from edgesr.model.descriptor import ModelDescriptor, Part, Preprocessing
from edgesr.model.rules import NETWORK
from edgesr.types import Array

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

Kind = Literal["uint8", "uint16"]
_NUMBERS = {"float32": 1, "uint8": 2, "uint16": 4, "float16": 10}
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_OPSET = 13


def embed_io(graph: Graph, descriptor: ModelDescriptor, kind: Kind) -> Graph:
    """Return the network with pictures ``(N, H, W, C)`` of ``kind`` as input and output.

    Further outputs come channels last too, the error scale as a fraction of the full range. The grey-level step becomes
    a constant, controls stay inputs. Raise ModelError for a network whose opset cannot be raised to 13.
    """
    if graph.opset < _OPSET:
        newer = with_opset(graph, _OPSET)
        if newer is None:
            raise ModelError(f"{graph.source}: its opset {graph.opset} cannot be made {_OPSET}; export it anew")
        graph = newer
    part = descriptor.parts[NETWORK]
    work = _Embedding(graph, descriptor, kind)
    work.take_picture(part.inputs["image"])
    if "quantum" in part.inputs:
        work.fix_quantum(part.inputs["quantum"])
    for role, tensor in part.outputs.items():
        work.give(role, tensor)
    return work.result()


def describe_embedded(descriptor: ModelDescriptor, kind: Kind) -> ModelDescriptor:
    """Return the description of the network that ``embed_io`` makes."""
    part, top = descriptor.parts[NETWORK], float(np.iinfo(kind).max)
    inputs = {role: tensor for role, tensor in part.inputs.items() if role != "quantum"}
    embedded = Part(
        part.file,
        part.sha256,
        {**inputs, "image": embedded_name(inputs["image"], kind)},
        {role: embedded_name(tensor, kind) for role, tensor in part.outputs.items()},
    )
    return replace(
        descriptor,
        parts={**descriptor.parts, NETWORK: embedded},
        input=Preprocessing(color=descriptor.input.color, layout="NHWC", dtype=kind, range=(0.0, top)),
        output_range=(0.0, top),
        precision={**(descriptor.precision or {}), "embedded_io": kind},
    )


def embedded_profile(profile: Profile, descriptor: ModelDescriptor, kind: Kind) -> Profile:
    """Return the shapes of the embedded network's inputs for those of the network itself."""
    part = descriptor.parts[NETWORK]
    is_first = descriptor.input.layout == "NCHW"
    found = {}
    for name, shapes in profile.items():
        if name == part.inputs.get("quantum"):
            continue
        if name != part.inputs["image"]:
            found[name] = shapes
            continue
        ends = (shapes.least, shapes.best, shapes.most)
        found[embedded_name(name, kind)] = ShapeRange(*(_moved(end) if is_first else end for end in ends))
    return found


def embedded_name(tensor: str, kind: Kind) -> str:
    """Return the name of a border tensor of the embedded network."""
    return f"{tensor}_{kind}"


def _moved(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _TO_LAST)


class _Embedding:
    """The nodes, constants and borders of the new graph, collected one after the other."""

    def __init__(self, graph: Graph, descriptor: ModelDescriptor, kind: Kind) -> None:
        self._graph = graph
        self._descriptor = descriptor
        self._kind: Kind = kind
        self._top = float(np.iinfo(kind).max)
        self._is_first = descriptor.input.layout == "NCHW"
        self._before: list[NodeProto] = []
        self._after: list[NodeProto] = []
        self._weights: dict[str, TensorProto] = {}
        self._inputs: dict[str, ValueInfoProto | None] = {}
        self._outputs: list[ValueInfoProto] = []
        values = (*graph.model.graph.input, *graph.model.graph.output)
        self._values: Mapping[str, ValueInfoProto] = {value.name: value for value in values}

    def take_picture(self, tensor: str) -> None:
        """Turn a picture into what the network takes, as ``Workspace`` does."""
        expects = self._descriptor.input
        low, high = expects.range
        given = embedded_name(tensor, self._kind)
        self._inputs[tensor] = self._border(tensor, given, self._kind)
        steps: list[tuple[str, Any]] = [("Cast", {"to": _NUMBERS["float32"]}), ("Div", self._top)]
        if (low, high) != (0.0, 1.0):
            steps += [("Mul", np.float32(high - low)), ("Add", low)]
        steps += [("Sub", expects.mean)] if expects.mean else []
        steps += [("Div", expects.std)] if expects.std else []
        number = self._graph.types[tensor]
        if number == _NUMBERS["uint8"]:
            steps.append(("Round", {}))
        if number != _NUMBERS["float32"]:
            steps.append(("Cast", {"to": number}))
        steps += [("Transpose", {"perm": _TO_FIRST})] if self._is_first else []
        self._chain(self._before, given, tensor, steps)

    def fix_quantum(self, tensor: str) -> None:
        """Make the grey-level step of pictures of this kind a constant."""
        shape = tuple(max(n, 1) for n in self._graph.shapes[tensor])
        dtype = np.float16 if self._graph.types[tensor] == _NUMBERS["float16"] else np.float32
        self._weights[tensor] = make_weight(tensor, np.full(shape, 1.0 / self._top, dtype))
        self._inputs[tensor] = None

    def give(self, role: str, tensor: str) -> None:
        """Turn an output into a picture, as ``Workspace`` and ``from_float`` do, or bring its channels last."""
        name = embedded_name(tensor, self._kind)
        low, high = self._descriptor.output_range
        factor = np.float32(1.0 / (high - low))
        steps: list[tuple[str, Any]] = []
        if self._graph.types[tensor] != _NUMBERS["float32"]:
            steps.append(("Cast", {"to": _NUMBERS["float32"]}))
        if role == "image":
            steps.append(("Clip", (low, high)))
            steps += [("Sub", low), ("Mul", factor)] if (low, high) != (0.0, 1.0) else []
            steps += [("Mul", self._top), ("Round", {})]
        elif role == "scale" and factor != 1:
            steps.append(("Mul", factor))
        if self._is_first and len(self._graph.shapes.get(tensor, ())) == 4:
            steps.append(("Transpose", {"perm": _TO_LAST}))
        steps += [("Cast", {"to": _NUMBERS[self._kind]})] if role == "image" else []
        self._outputs.append(self._border(tensor, name, self._kind if role == "image" else "float32"))
        self._chain(self._after, tensor, name, steps or [("Identity", {})])

    def result(self) -> Graph:
        """Put the graph together."""
        model = self._graph.copy()
        inputs = [self._inputs.get(value.name, value) for value in model.graph.input]
        nodes = [*self._before, *model.graph.node, *self._after]
        del model.graph.node[:], model.graph.input[:], model.graph.output[:]
        model.graph.node.extend(nodes)
        model.graph.input.extend(value for value in inputs if value is not None)
        model.graph.output.extend(self._outputs)
        model.graph.initializer.extend(self._weights.values())
        return Graph(model, self._graph.source)

    def _chain(self, nodes: list[NodeProto], source: str, target: str, steps: list[tuple[str, Any]]) -> None:
        """Append a node for every step; numbers and tuples of them are constants along the last axis."""
        for index, (operator, value) in enumerate(steps):
            result = target if index == len(steps) - 1 else f"{target}_embedded_{index}"
            attributes: dict[str, Any] = value if isinstance(value, dict) else {}
            constants = [] if isinstance(value, dict) else [np.asarray(value, np.float32)]
            if operator == "Clip":
                constants = [np.asarray(end, np.float32) for end in value]
            names = [self._constant(f"{result}_{place}", values) for place, values in enumerate(constants)]
            nodes.append(make_node(operator, [source, *names], [result], f"embedded_{result}", **attributes))
            source = result

    def _constant(self, name: str, values: Array) -> str:
        self._weights[name] = make_weight(name, values)
        return name

    def _border(self, tensor: str, name: str, kind: str) -> ValueInfoProto:
        """Describe a tensor of the new border with the dimensions of the old one, channels last."""
        old = self._values[tensor]
        value = type(old)()
        value.CopyFrom(old)
        value.name = name
        value.type.tensor_type.elem_type = _NUMBERS[kind]
        dimensions = value.type.tensor_type.shape.dim
        if self._is_first and len(dimensions) == 4:
            kept = list(old.type.tensor_type.shape.dim)
            for place, axis in enumerate(_TO_LAST):
                dimensions[place].CopyFrom(kept[axis])
        return value
