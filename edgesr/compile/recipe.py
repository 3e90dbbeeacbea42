"""What one engine is built with, as plain data: it goes into the cache key and to the process that builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgesr.compile.shapes import Profile, ShapeRange


@dataclass(frozen=True)
class BuildOptions:
    """Settings of TensorRT's builder; the precision itself is that of the ONNX file (see edgesr.compile.typed)."""

    profile: Profile = field(default_factory=dict)
    """Shapes of the inputs that have dynamic dimensions; empty where none has."""
    workspace: int | None = None
    """Bytes of scratch memory that was asked for, None for what Limits finds."""
    fp16: bool = False
    """Let TensorRT choose FP16 in an FP32 network; versions before 11 only, without a check of the ranges."""
    optimization_level: int | None = None
    """0 to 5, None for TensorRT's choice (3)."""
    max_aux_streams: int | None = None
    """Further streams an engine may use, None for TensorRT's choice; 0 needs the least memory."""
    tf32: bool = True
    """Let FP32 convolutions and products round to TensorFloat-32, as TensorRT does by itself."""
    detailed: bool = True
    """Keep each layer's types in the engine, for the proof of its precision."""
    version_compatible: bool = False
    """Let newer TensorRT versions load the engine; it then brings code that runs on the CPU."""
    hardware_compatible: bool = False
    """Let other GPUs of the Ampere generation and newer run the engine."""
    dla_core: int | None = None
    """Core of the deep learning accelerator to run on, with the GPU for what it cannot; None for the GPU alone."""
    locked: str | None = None
    """sha256 of the timings that decide every kernel; empty where they are recorded now, None for free choice."""

    def document(self) -> dict[str, Any]:
        """Return JSON data that ``from_document`` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, data: Mapping[str, Any]) -> BuildOptions:
        """Read what ``document`` returned."""
        profile = {
            name: ShapeRange(*(tuple(shapes[key]) for key in ("least", "best", "most")))
            for name, shapes in data["profile"].items()
        }
        return cls(**{**data, "profile": profile})


@dataclass(frozen=True)
class Limits:
    """Bytes that a build may take; they follow the memory that is free and are no part of an engine's key."""

    workspace: int | None = None
    """Scratch memory of a layer; None leaves TensorRT all that there is."""
    tactic_dram: int | None = None
    """Memory that tuning may use, None for TensorRT's choice."""


@dataclass(frozen=True)
class Survey:
    """What TensorRT says about a network that it has read, before it builds."""

    layers: int
    dla_layers: int | None = None
    """Layers that the accelerator takes, None where it was not asked for."""
    on_gpu: Mapping[str, int] = field(default_factory=dict)
    """Layers that the accelerator does not take, counted by kind."""

    def told(self) -> str:
        """Say it for people."""
        if self.dla_layers is None:
            return f"TensorRT reads it as {self.layers} layers"
        others = ", ".join(f"{count} {kind}" for kind, count in self.on_gpu.items())
        return f"the DLA can take {self.dla_layers} of {self.layers} layers" + (
            f"; the GPU runs the others: {others}" if others else ""
        )


@dataclass(frozen=True)
class BuiltPlan:
    """A serialized engine and what TensorRT warned about."""

    plan: bytes
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done other than asked, one sentence each."""
    limits: Limits = field(default_factory=Limits)
    """Memory that the build had."""
