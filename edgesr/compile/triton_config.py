"""``config.pbtxt`` of one model of a Triton Inference Server, in protobuf's text format.

Source of the fields: ``model_config.proto`` of the Triton Inference Server, message ``ModelConfig``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, Union

Fields: TypeAlias = Sequence[tuple[str, "Value"]]
"""A message as names and values in order; a name that comes again makes a repeated field."""
Value: TypeAlias = Union[str, int, bool, "Word", "Fields"]

_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Word:
    """A value that is written without quotes, such as the name of an enum's member."""

    text: str


@dataclass(frozen=True)
class ServedTensor:
    """An input or output as clients see it: ``shape`` with the batch in front, -1 for what varies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    labels: str = ""
    """File with a name for every value of an output."""


@dataclass(frozen=True)
class Step:
    """One model of an ensemble; its tensors have the same names in the ensemble."""

    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ServedModel:
    """What a server must know about one model."""

    name: str
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    max_batch: int = 0
    """Pictures of one run at most, gathered from several requests; 0 where the network takes one request at a time."""
    instances: int = 1
    warm_up: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of a first request, without the batch where there is one; by input."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    platform: str = "onnxruntime_onnx"
    """Or ``tensorrt_plan``; that of an ensemble is known."""
    steps: tuple[Step, ...] = ()
    """What an ensemble runs; empty for a model of its own."""

    def config(self) -> str:
        """Return the text of ``config.pbtxt``."""
        return "".join(_lines(self._fields(), ""))

    def _fields(self) -> Iterator[tuple[str, Value]]:
        yield "name", self.name
        yield "platform", "ensemble" if self.steps else self.platform
        yield "max_batch_size", self.max_batch
        for tensor in self.inputs:
            yield "input", self._tensor(tensor)
        for tensor in self.outputs:
            yield "output", [*self._tensor(tensor), *([("label_filename", tensor.labels)] if tensor.labels else [])]
        yield "version_policy", [("latest", [("num_versions", 1)])]
        if self.steps:
            yield "ensemble_scheduling", [("step", list(_step(step))) for step in self.steps]
        else:
            yield "instance_group", [("kind", Word("KIND_AUTO")), ("count", self.instances)]
            if self.max_batch > 1:
                yield "dynamic_batching", []
            if self.warm_up:
                yield "model_warmup", list(self._warm_up())
        for key, text in self.parameters.items():
            yield "parameters", [("key", key), ("value", [("string_value", text)])]

    def _tensor(self, tensor: ServedTensor) -> list[tuple[str, Value]]:
        shape = tensor.shape[1:] if self.max_batch else tensor.shape
        return [
            ("name", tensor.name),
            ("data_type", Word(f"TYPE_{_TYPES[tensor.dtype]}")),
            *(("dims", n) for n in shape),
        ]

    def _warm_up(self) -> Iterator[tuple[str, Value]]:
        yield "name", "one picture"
        yield "batch_size", 1
        types = {tensor.name: tensor.dtype for tensor in self.inputs}
        for name, shape in self.warm_up.items():
            kind = Word(f"TYPE_{_TYPES[types[name]]}")
            value: Fields = [("data_type", kind), *(("dims", n) for n in shape), ("zero_data", True)]
            yield "inputs", [("key", name), ("value", value)]


def _step(step: Step) -> Iterator[tuple[str, Value]]:
    yield "model_name", step.model
    yield "model_version", -1
    for key, names in (("input_map", step.inputs), ("output_map", step.outputs)):
        for name in names:
            yield key, [("key", name), ("value", name)]


def is_known(dtype: str) -> bool:
    """Tell whether Triton has tensors of this type."""
    return dtype in _TYPES


def _lines(fields: Fields | Iterator[tuple[str, Value]], indent: str) -> Iterator[str]:
    for name, value in fields:
        if isinstance(value, bool):
            yield f"{indent}{name}: {str(value).lower()}\n"
        elif isinstance(value, int):
            yield f"{indent}{name}: {value}\n"
        elif isinstance(value, Word):
            yield f"{indent}{name}: {value.text}\n"
        elif isinstance(value, str):
            yield f"{indent}{name}: {_quoted(value)}\n"
        else:
            inner = "".join(_lines(value, indent + "  "))
            yield f"{indent}{name} {{\n{inner}{indent}}}\n" if inner else f"{indent}{name} {{ }}\n"


def _quoted(text: str) -> str:
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in text)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\{ord(found[0]):03o}", escaped) + '"'
