"""One network in one precision: the passes in their order, and what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgesr.compile.checks import check_network
from edgesr.compile.embed_io import Kind
from edgesr.compile.fp16 import IO, HalfReport, to_fp16
from edgesr.compile.gate import DEFAULTS, Thresholds
from edgesr.compile.graph import Graph, has_floats, with_opset
from edgesr.compile.int8 import MIN_OPSET, QuantizeOptions, QuantizeReport, to_int8
from edgesr.compile.islands import Rules
from edgesr.compile.ranges import Ranges
from edgesr.compile.validate import problems
from edgesr.errors import ModelError

Precision = Literal["fp32", "fp16", "int8", "int8-fp16"]
_NAMED = 8
"""Layers that a sentence names."""
_HALF_SCALES = 19
"""The first opset in which quantized tensors come from and go to FP16."""


@dataclass(frozen=True)
class Options:
    """How a network is converted."""

    io: IO = "fp32"
    calibrator: str = "entropy"
    exclude: str | None = None
    precise_output: bool = True
    results: Mapping[str, str] = field(default_factory=dict)
    """What output tensors are, by name; one that is not named is a picture."""

    def rules(self, skip: Collection[str] = ()) -> Rules:
        """Return what stays in FP32; ``skip`` names layers that do."""
        return Rules(exclude=self.exclude, precise_output=self.precise_output, results=self.results, skip=skip)

    def quantize_options(self, skip: Collection[str] = ()) -> QuantizeOptions:
        """Return what becomes INT8; ``skip`` names layers that do not."""
        return QuantizeOptions(calibrator=self.calibrator, exclude=self.exclude, skip=skip)


@dataclass(frozen=True)
class Typed:
    """A network whose tensors carry their precision, checked as far as this machine can."""

    graph: Graph
    precision: Precision
    options: Options
    half: HalfReport | None = None
    quantized: QuantizeReport | None = None
    notes: tuple[str, ...] = field(default=())
    embedded: Kind | None = None
    """The type of the pictures that the graph itself takes and gives, None for a network of floats."""

    @property
    def thresholds(self) -> Thresholds:
        """What this precision must reach when nobody asks for something else."""
        return DEFAULTS["int8" if "int8" in self.precision else self.precision]

    @property
    def obstacle(self) -> str:
        """Why nothing computes in the precision that the network is named after; empty where something does."""
        if self.quantized is not None:
            return "" if self.quantized.quantized else "has no layer that INT8 could take"
        if self.half is None or self.half.half_nodes:
            return ""
        often = [f", mostly because it {reason}" for reason, _ in Counter(self.half.fp32.values()).most_common(1)]
        return f"nothing of it can be FP16{''.join(often)}"

    def lowered(self) -> frozenset[str]:
        """Return the names of the nodes that compute in less than FP32."""
        names = set(self.quantized.quantized) if self.quantized is not None else set()
        if self.half is not None:
            names |= {node.name for node in self.graph.nodes if node.name not in self.half.fp32}
        return frozenset(names)

    def precisions(self) -> dict[str, str]:
        """Return ``fp16`` or ``int8`` by name for the nodes that compute in less than FP32."""
        int8 = set(self.quantized.quantized) if self.quantized is not None else set()
        return {name: "int8" if name in int8 else "fp16" for name in self.lowered()}

    def summary(self) -> str:
        """Say in a line which part of the network computes in which precision."""
        parts = []
        floats = sum(has_floats(self.graph, node) for node in self.graph.nodes)
        if self.quantized is not None:
            share = f"{self.quantized.share:.1%} of the multiply-adds"
            parts.append(f"{len(self.quantized.quantized)} layers in INT8 ({share})")
        if self.half is not None:
            says_share = self.quantized is None and self.half.half_nodes > 0
            share = f" ({self.half.share:.1%} of the multiply-adds)" if says_share else ""
            parts.append(f"{self.half.half_nodes} of {self.half.float_nodes} nodes in FP16{share}")
        return "ONNX with " + (" and ".join(parts) or f"{floats} nodes in FP32")

    def document(self) -> dict[str, Any]:
        """Return what a model descriptor records: precision, islands, quantised layers."""
        document: dict[str, Any] = {"kind": self.precision, "io": self.options.io}
        if self.quantized is not None:
            document["calibrator"] = self.options.calibrator
            document["int8_layers"] = list(self.quantized.quantized)
            document["not_int8"] = dict(self.quantized.skipped)
        if self.half is not None:
            document["fp32_nodes"] = dict(self.half.fp32)
            document["casts"] = self.half.casts
            document["weights"] = {
                "in_fp16": self.half.weights, "zeroed": self.half.zeroed, "subnormal": self.half.subnormal
            }  # fmt: skip
        return document


def convert(
    graph: Graph, ranges: Ranges, precision: Precision, options: Options | None = None, *, skip: Collection[str] = ()
) -> Typed:
    """Return ``graph`` in another precision; ``skip`` names layers that stay out of INT8, or of FP16 alone.

    ``int8`` leaves the rest in FP32, which every TensorRT takes; ``int8-fp16`` makes the rest FP16, in opset 19, which
    TensorRT takes from 10 on.
    """
    options = options or Options()
    half: HalfReport | None = None
    quantized: QuantizeReport | None = None
    result, notes = graph, []
    if precision == "int8-fp16" and graph.opset < _HALF_SCALES:
        newer = with_opset(graph, _HALF_SCALES)
        if newer is None:
            raise ModelError(
                f"{graph.source}: its opset {graph.opset} cannot be made {_HALF_SCALES}, which INT8 beside FP16 "
                "needs; export it with that opset, or use --int8 alone"
            )
        result = newer
        notes.append(f"opset {graph.opset} became {_HALF_SCALES}; TensorRT takes it from 10.0 on")
    if precision == "int8" and graph.opset < MIN_OPSET:
        newer = with_opset(graph, MIN_OPSET)
        if newer is not None:
            result = newer
            notes.append(f"opset {graph.opset} became {MIN_OPSET}, the first with scales per channel")
    if precision in ("int8", "int8-fp16"):
        result, quantized = to_int8(result, ranges, options.quantize_options(skip))
    if precision in ("fp16", "int8-fp16"):
        rules = options.rules(skip if precision == "fp16" else ())
        result, half = to_fp16(result, ranges, rules, io=options.io)
        if half.zeroed:
            notes.append(f"{half.zeroed} of {half.weights} weights are zero in FP16")
    if skip:
        notes.append(_given_up(precision, list(skip)))
    check_network(result)
    found = list(problems(result))
    if found:
        raise ModelError(f"{graph.source}: TensorRT would refuse the network: {found[0]}")
    return Typed(result, precision, options, half, quantized, tuple(notes))


def _given_up(precision: Precision, layers: list[str]) -> str:
    kind, place = ("FP16", "in FP32") if precision == "fp16" else ("INT8", "out of INT8")
    count = "1 layer stays" if len(layers) == 1 else f"{len(layers)} layers stay"
    more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
    names = ", ".join(layers[:_NAMED])
    return f"{count} {place}, where {kind} loses too much accuracy for the gate, the worst first: {names}{more}"


def cost(typed: Typed) -> float:
    """Estimate the arithmetic of a network against FP32: multiply-adds count 1 in FP32, 1/2 in FP16, 1/4 in INT8.

    The ratios are those of the tensor cores' peak rates; nothing is measured.
    """
    int8 = typed.quantized.share if typed.quantized else 0.0
    half = typed.half.share if typed.half else 0.0
    half = max(half - int8, 0.0)
    return int8 / 4 + half / 2 + (1.0 - int8 - half)
