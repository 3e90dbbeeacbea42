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
    """Bytes of scratch memory that a layer may use; None leaves TensorRT all that there is."""
    tactic_dram: int | None = None
    """Bytes of memory that tuning may use, None for TensorRT's choice."""
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
class BuiltPlan:
    """A serialized engine, the timings measured for it, and what TensorRT warned about."""

    plan: bytes
    timing_cache: bytes
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done other than asked, one sentence each."""
